r"""Seconds of a step: all entries in turn, round after round, in one process with all cores.

The other work of the machine changes from minute to minute; measured one after the other, an entry would be
judged by its minute. Therefore every round times a block of steps of each entry, in alternating order, and
the range of an entry's blocks shows how much the machine's other work changes its mean. Steps are on real
batches, and a block is a whole interval of what the method does only now and then (inverses, roots), so that
costly steps have the same share as in training.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, lcm
from typing import Any

import numpy as np

from locoprop_ref.backend import namespace, synchronize, to_backend
from locoprop_ref.data import Dataset
from locoprop_ref.training import Examples, examples
from locoprop_ref.training.build import build_method, build_network, epoch_rate
from locoprop_ref.training.options import Config, as_json

# least number of timed steps of an entry; untimed steps before its first block (one before others); rounds
LEAST_STEPS, WARM_UP, ROUNDS = 20, 3, 4


def interval(config: Config) -> int:
    """Return after how many steps the method's work repeats: the least common multiple of its intervals.

    >>> from locoprop_ref.training.config import resolve
    >>> interval(resolve(method="locoprop-m"))
    1
    """
    values = as_json(config).items()
    return lcm(*(value for name, value in values if name.endswith("interval") and value))


@dataclass
class Training:
    """A training that goes on batch by batch, epoch after epoch, in the middle of its schedule."""

    config: Config
    data: Examples
    xp: Any

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.config.seed)
        self.method: Any = build_method(self.config)
        self.network = build_network(self.config, rng, xp=self.xp)
        self.state = self.method.init(self.network, self.config.seed)
        count, size = self.data.x_train.shape[0], self.config.batch_size
        self.order = to_backend(rng.permutation(count), xp=self.xp, dtype="int32")
        # without a batch size a step takes all examples
        self.batches, self.taken = 1 if size is None else count // size, 0
        # a rate that is not 0, so that every weight moves as in most epochs
        self.rate = epoch_rate(self.config, self.config.epochs // 2) or 1.0

    def step(self) -> None:
        """Take the next batch and a step with it, as the loop of `train` does, and wait for the result."""
        x, t = self._next_batch()
        with np.errstate(over="ignore", invalid="ignore"):
            self.network, self.state, _ = self.method.step(self.network, self.state, x, t, rate=self.rate)
        synchronize(self.network.layers[-1].W)
        self.taken += 1

    def _next_batch(self) -> tuple[Any, Any]:
        size = self.config.batch_size
        if size is None:
            return self.data.x_train, self.data.t_train
        first = (self.taken % self.batches) * size
        rows = self.order[first : first + size]
        x = self.xp.take(self.data.x_train, rows, axis=0)
        t = x if self.data.t_train is self.data.x_train else self.xp.take(self.data.t_train, rows, axis=0)
        return x, t


@dataclass
class Turns:
    """The turns of an entry: its training, and the seconds of its blocks."""

    training: Training
    blocks: list[list[float]] = field(default_factory=list)

    def take(self) -> None:
        """Time a block, after steps that bring the weights back into the caches.

        A block is so many whole intervals that all rounds have the least number of steps.
        """
        for _ in range(1 if self.blocks else WARM_UP):
            self.training.step()
        period = interval(self.training.config)
        steps = period * ceil(LEAST_STEPS / ROUNDS / period)
        self.blocks.append([_seconds(self.training.step) for _ in range(steps)])

    def record(self) -> dict[str, Any]:
        """Return "step" of a clock file."""
        seconds = [one for block in self.blocks for one in block]
        low, high = np.percentile(seconds, [2.5, 97.5])
        return {
            "warm_up": WARM_UP,
            "steps": len(seconds),
            "interval": interval(self.training.config),
            "steps_per_epoch": self.training.batches,
            "seconds": seconds,
            "mean": statistics.fmean(seconds),
            "median": statistics.median(seconds),
            "low": float(low),
            "high": float(high),
            "blocks": [statistics.fmean(block) for block in self.blocks],
        }


def in_turn(configs: Mapping[str, Config], data: Dataset) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return "step" of a clock file for every entry, and what went wrong with the others.

    Args:
        configs: of the entries, with data, dtype and array library in common.
        data: the data set.
    """
    first = next(iter(configs.values()))
    xp = namespace(first.backend)
    on_device = examples(data, first, xp)
    turns: dict[str, Turns] = {}
    failures: dict[str, str] = {}
    for number in range(ROUNDS):
        for name in list(configs) if number % 2 == 0 else reversed(list(configs)):
            if name in failures:
                continue
            try:
                if number == 0:
                    turns[name] = Turns(Training(configs[name], on_device, xp))
                turns[name].take()
            except (ValueError, MemoryError) as error:  # LinAlgError is a ValueError
                failures[name] = one_line(error)
    return {name: one.record() for name, one in turns.items() if name not in failures}, failures


def one_line(error: BaseException) -> str:
    """Return what an error says in one line, its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started

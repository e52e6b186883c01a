r"""Seconds and memory of a step, each contestant alone, in a process of its own, with all cores.

Runs that go side by side disturb each other's clocks, so that seconds come from here: warm-up, then timed
steps on real batches, over whole intervals of what the method does only now and then (inverses, roots), so
that costly steps come in the share that training has. The clock file of a contestant:

    schema       1
    contestant   name
    config       as in a run file, without the seed; data, environment, command likewise
    load         processes that wanted a core in the minute before, own ones included; None where unknown
    step         {warm_up, steps, interval, steps_per_epoch, seconds: [...], mean, median, low, high, blocks}
    memory       {parameters, parameter_bytes, state_bytes, peak_bytes, counted: {...}, counted_bytes}

`mean` is the time axis of figures and tables: an epoch pays for its costly steps too, and the median leaves
them out. `low` and `high` hold the middle 95 % of the steps; `blocks` are the means of two or more blocks of
whole intervals, whose range tells what the machine's other work makes of the mean.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil, lcm
from typing import Any

import numpy as np

from locoprop_ref.backend import namespace, synchronize, to_backend
from locoprop_ref.compare.folder import SCHEMA, clock_path, read_json, write_json
from locoprop_ref.compare.memory import array_bytes, counted_numbers, parameter_numbers, peak_bytes
from locoprop_ref.compare.runs import Task
from locoprop_ref.compare.workers import in_workers
from locoprop_ref.config import Config, as_json, build_method, build_network, epoch_rate
from locoprop_ref.data import Dataset, load
from locoprop_ref.environment import environment
from locoprop_ref.train import Examples, examples

LEAST_STEPS, LEAST_WARM_UP, BLOCKS = 20, 3, 4


def interval(config: Config) -> int:
    """Return after how many steps the method's work repeats: the least common multiple of its intervals.

    >>> from locoprop_ref.config import resolve
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
        self.batches, self.taken = count // size, 0
        # a rate that is not 0, so that every weight moves as in most epochs
        self.rate = epoch_rate(self.config, self.config.epochs // 2) or 1.0

    def step(self) -> None:
        """Take the next batch and a step with it, as the loop of `train` does, and wait for the result."""
        first = (self.taken % self.batches) * self.config.batch_size
        rows = self.order[first : first + self.config.batch_size]
        x = self.xp.take(self.data.x_train, rows, axis=0)
        t = x if self.data.t_train is self.data.x_train else self.xp.take(self.data.t_train, rows, axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            self.network, self.state, _ = self.method.step(self.network, self.state, x, t, rate=self.rate)
        synchronize(self.network.layers[-1].W)
        self.taken += 1


def measure(config: Config, data: Dataset) -> dict[str, Any]:
    """Return "step" and "memory" of a clock file.

    Args:
        config: of the contestant.
        data: the data set.
    """
    xp = namespace(config.backend)
    on_device = examples(data, config, xp)
    training, period = Training(config, on_device, xp), interval(config)
    warm_up = ceil(LEAST_WARM_UP / period) * period
    # blocks of whole intervals: at least two intervals, at least 20 steps
    block = period * max(1, ceil(LEAST_STEPS / BLOCKS / period))
    steps = block * max(2, ceil(LEAST_STEPS / block))
    for _ in range(warm_up):
        training.step()
    seconds = [_seconds(training.step) for _ in range(steps)]
    step = {"warm_up": warm_up, "steps": steps, "interval": period, "steps_per_epoch": training.batches}
    state_bytes = array_bytes(training.state)
    del training
    peak = peak_bytes(lambda: Training(config, on_device, xp).step, 1, period + 1, xp)
    return {
        "step": step | {"seconds": seconds} | statistics_of(seconds, block),
        "memory": _memory(config, state_bytes, peak),
    }


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def statistics_of(seconds: list[float], block: int) -> dict[str, Any]:
    """Return mean, median, middle 95 % and the means of blocks of so many steps.

    >>> statistics_of([1.0, 3.0, 1.0, 3.0], 2)["blocks"]
    [2.0, 2.0]
    """
    low, high = np.percentile(seconds, [2.5, 97.5])
    return {
        "mean": statistics.fmean(seconds),
        "median": statistics.median(seconds),
        "low": float(low),
        "high": float(high),
        "blocks": [statistics.fmean(seconds[i : i + block]) for i in range(0, len(seconds), block)],
    }


def _memory(config: Config, state_bytes: int, peak: int | None) -> dict[str, Any]:
    size, counted = np.dtype(config.dtype).itemsize, counted_numbers(config)
    return {
        "parameters": parameter_numbers(config),
        "parameter_bytes": size * parameter_numbers(config),
        "state_bytes": state_bytes,
        "peak_bytes": peak,
        "counted": counted,
        "counted_bytes": size * sum(counted.values()),
    }


# all contestants --------------------------------------------------------------------------------------


def clock_all(
    tasks: Mapping[str, Task],
    manifest: Mapping[str, Any],
    *,
    data_dir: str | None,
    say: Callable[[str], None],
) -> tuple[dict[str, float], list[str]]:
    """Measure every contestant that has no clock file of these settings yet.

    Args:
        tasks: a run of every contestant.
        manifest: of the comparison.
        data_dir: see `data.load`.
        say: called with a line a contestant.

    Returns:
        mean seconds of a step by contestant, and a sentence for every contestant that could not be measured.
    """
    means, failures = {}, []
    for name, task in tasks.items():
        path = clock_path(task.out.parent, name)
        settings = recorded(task.config, manifest)
        if not (path.exists() and read_json(path, "a clock file")["config"] == settings):
            load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            try:
                measured = _alone(task.config, data_dir)
            except (ValueError, OSError, MemoryError, np.linalg.LinAlgError) as error:
                failures.append(f"{name} could not be measured: {error}")
                say(failures[-1])
                continue
            about = {"schema": SCHEMA, "contestant": name, "command": manifest["command"], "config": settings}
            about["load"] = load_before
            write_json(path, about | {"data": manifest["data"]} | measured)
        found = read_json(path, "a clock file")
        means[name] = found["step"]["mean"]
        say(f"{name}: {1e3 * means[name]:.4g} ms a step, {_spell_memory(found['memory'])}")
    return means, failures


def recorded(config: Config, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a clock file holds: what changes neither seconds nor memory is left out."""
    values = as_json(config) | {"data": manifest["data"]["name"]}
    return {
        name: value for name, value in values.items() if name not in ("seed", "epochs", "schedule_epochs")
    }


def _spell_memory(memory: Mapping[str, Any]) -> str:
    unit = memory["parameter_bytes"]
    peak = "not traced" if memory["peak_bytes"] is None else f"{memory['peak_bytes'] / unit:.3g}"
    return f"state {memory['state_bytes'] / unit:.3g}, peak {peak} times the parameters"


def _alone(config: Config, data_dir: str | None) -> dict[str, Any]:
    """Measure in a process of its own, with all cores."""
    found: dict[str, Any] = {}
    in_workers({"clock": partial(_measured, config, data_dir)}, 1, ended=found.__setitem__)
    if isinstance(found["clock"], Exception):
        raise found["clock"]
    return found["clock"]


def _measured(config: Config, data_dir: str | None) -> dict[str, Any]:
    data = load(config.data, data_dir=data_dir)
    return measure(config, data) | {"environment": environment(config.backend, namespace(config.backend))}

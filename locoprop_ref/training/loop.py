"""The epochs: what is complete is on disk before the next one begins."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from locoprop_ref.backend import synchronize, to_backend
from locoprop_ref.network import Network
from locoprop_ref.training.build import build_method, epoch_rate
from locoprop_ref.training.checkpoint import Checkpoint, save_checkpoint
from locoprop_ref.training.interrupt import Interrupts, heard
from locoprop_ref.training.options import Config
from locoprop_ref.training.run_file import write_run
from locoprop_ref.training.start import Files, Start
from locoprop_ref.training.task import Examples, losses_of

# a train loss so many times the untrained network's, or no number at all, counts as divergence
DIVERGENCE = 100.0


@dataclass(frozen=True)
class TrainedRun:
    """What `train` returns: the run file's content, and the network and state after the last epoch."""

    run: dict[str, Any]
    network: Network
    state: Any


class Loop:
    """The epochs; what is complete is always on disk before the next one begins."""

    def __init__(
        self,
        config: Config,
        data: Examples,
        xp: Any,
        files: Files | None,
        progress: bool,
        say: Callable[[str], None],
    ) -> None:
        self.config, self.data, self.xp, self.files, self.say = config, data, xp, files, say
        self.method: Any = build_method(config)
        self.batches = data.x_train.shape[0] // config.batch_size
        self.progress = progress
        self.run_so_far: dict[str, Any] = {}

    @property
    def last_epoch(self) -> int:
        """The last epoch that is kept."""
        return self.run_so_far["epochs"][-1]["epoch"] if self.run_so_far else 0

    def run(self, start: Start) -> TrainedRun:
        """Train from there to the last epoch, or to divergence."""
        with Interrupts(*heard()) as self.interrupts:
            return self._run(start)

    def _run(self, start: Start) -> TrainedRun:
        network, state, rng = start.network, start.state, start.rng
        self._keep(network, state, rng, start.run)
        first = self.last_epoch
        if first == 0:
            self.say(describe(start.run["epochs"][0]))
        with self._bar(self.config.epochs - first) as bar, np.errstate(over="ignore", invalid="ignore"):
            for epoch in range(first, self.config.epochs):
                try:
                    network, state, row = self._epoch(epoch, network, state, rng, bar)
                except (np.linalg.LinAlgError, _Diverged) as error:
                    message = f"diverged in epoch {epoch + 1}: {error}; kept what stood after epoch {epoch}"
                    self.stop("diverged", message)
                    break
                status = "finished" if epoch + 1 == self.config.epochs else "running"
                rows = [*self.run_so_far["epochs"], row]
                self._keep(network, state, rng, self.run_so_far | {"epochs": rows, "status": status})
                bar.set_postfix_str(describe(row))
                still = epoch_rate(self.config, epoch) == 0
                self.say(describe(row) + (" (rate 0: the schedule moves no weight yet)" if still else ""))
            else:
                self.stop("finished")
        return TrainedRun(self.run_so_far, network, state)

    def _epoch(self, epoch: int, network: Network, state: Any, rng: np.random.Generator, bar: Any) -> Any:
        rate = epoch_rate(self.config, epoch)
        order = to_backend(rng.permutation(self.data.x_train.shape[0]), xp=self.xp, dtype="int32")
        started, info = time.perf_counter(), {}
        for x, t, method in self._each_batch(order):
            network, state, info = method.step(network, state, x, t, rate=rate)
            bar.update()
            self.interrupts.heed()
        synchronize(network.layers[-1].W)
        stepped = time.perf_counter()
        losses = losses_of(network, self.data)
        untrained = self.run_so_far["epochs"][0]["train"]
        loss_name = next(iter(untrained))
        loss = losses["train"][loss_name]
        if not all(isfinite(value) for part in losses.values() for value in part.values()):
            raise _Diverged(f"the {loss_name} is no longer a finite number")
        if loss > DIVERGENCE * untrained[loss_name]:
            raise _Diverged(
                f"the train {loss_name} is {loss:.4g}, {DIVERGENCE:g} times the untrained network's"
            )
        row = {"epoch": epoch + 1, **losses, "step_seconds": stepped - started}
        row["eval_seconds"] = time.perf_counter() - stepped
        return network, state, row | ({"diagnostics": info} if info else {})

    def _each_batch(self, order: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Yield x, t and the method; the last batch of an epoch is the one that is diagnosed."""
        size, take = self.config.batch_size, self.xp.take
        for number in range(self.batches):
            rows = order[number * size : (number + 1) * size]
            x = take(self.data.x_train, rows, axis=0)
            t = x if self.data.t_train is self.data.x_train else take(self.data.t_train, rows, axis=0)
            diagnose = self.config.diagnostics and number == self.batches - 1
            method = dataclasses.replace(self.method, diagnose=True) if diagnose else self.method
            yield x, t, method

    def stop(self, status: str, message: str | None = None) -> None:
        """Write the run file with its last status, if anything is kept; what is finished stays it."""
        if self.run_so_far.get("status") != "finished":
            self.run_so_far = self.run_so_far | {"status": status} | ({"message": message} if message else {})
        if self.files and self.run_so_far.get("epochs"):
            write_run(self.files.run, self.run_so_far)

    def _keep(self, network: Network, state: Any, rng: np.random.Generator, run: dict[str, Any]) -> None:
        """Replace the checkpoint and then the run file: cut off at any moment, that is never ahead of it."""
        if not self.files:
            self.run_so_far = run
            return
        generator = dict(rng.bit_generator.state)
        try:
            save_checkpoint(self.files.checkpoint, Checkpoint(network, state, generator, run))
            self.run_so_far = run
            write_run(self.files.run, run)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OSError(
                f"{self.files.run} and {self.files.checkpoint.name} cannot be written after epoch "
                f"{run['epochs'][-1]['epoch']}: {reason}; the last complete state is kept"
            ) from error

    def _bar(self, epochs: int) -> Any:
        from tqdm import tqdm

        quiet = None if self.progress else True  # None: quiet when standard error is not a terminal
        return tqdm(total=max(epochs, 0) * self.batches, unit="step", disable=quiet, desc=self.config.method)


class _Diverged(Exception):
    """The train loss is no number, or far above the untrained network's."""


def describe(row: dict[str, Any]) -> str:
    """Return an epoch's row as one line.

    >>> describe({"epoch": 1, "train": {"ce": 60.0}, "test": {"ce": 61.5}, "step_seconds": 2.0})
    'epoch 1: train ce 60, test ce 61.5, 2.0 s'
    """
    losses = [f"{part} {name} {value:.6g}" for part in ("train", "test") for name, value in row[part].items()]
    return f"epoch {row['epoch']}: {', '.join(losses)}, {row['step_seconds']:.1f} s"

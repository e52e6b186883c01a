"""The epochs of a run: each is on disk before the next one begins."""

import logging
import time
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from locoprop_ref.backend import synchronize
from locoprop_ref.network import Network
from locoprop_ref.training.build import build_method, epoch_rate
from locoprop_ref.training.checkpoint import Checkpoint, save_checkpoint
from locoprop_ref.training.interrupt import Interrupts, handled_signals
from locoprop_ref.training.options import Config
from locoprop_ref.training.run_file import Files, Status, write_run
from locoprop_ref.training.step_evaluations import StepEvaluations, parse_steps
from locoprop_ref.training.steps import DIVERGENCE, Diverged, Steps, check_state, diverged
from locoprop_ref.training.task import Examples, losses_of

log = logging.getLogger(__name__)

# what the line of an epoch says where the schedule's factor is 0
STILL = " (the schedule does not move the weights yet)"


@dataclass(frozen=True)
class TrainedRun:
    """What `train` returns: the run file's content, and the network and state after the last epoch."""

    run: dict[str, Any]
    network: Network
    state: Any


class Loop:
    """The epochs of a run: each is on disk before the next one begins.

    Args:
        config: resolved.
        data: inputs and targets on the device.
        xp: array namespace.
        files: where the run is kept, or None.
        progress: show a progress bar if standard error is a terminal.
    """

    def __init__(self, config: Config, data: Examples, xp: Any, files: Files | None, progress: bool) -> None:
        self.config, self.data, self.files, self.progress = config, data, files, progress
        self.steps = Steps(config, build_method(config), data, xp)
        self.evaluate_steps = parse_steps(config.evaluate_steps)
        self.run_so_far: dict[str, Any] = {}

    @property
    def last_epoch(self) -> int:
        """The last epoch that is kept."""
        return self.run_so_far["epochs"][-1]["epoch"] if self.run_so_far else 0

    def run(self, start: Checkpoint) -> TrainedRun:
        """Train from a checkpoint to the last epoch, or to divergence.

        Raises:
            OSError: the run cannot be written; the last complete state is kept.
            KeyboardInterrupt: passed on, after the run file has been given the status "interrupted".
        """
        try:
            with Interrupts(*handled_signals()) as self.interrupts:
                return self._run(start)
        except KeyboardInterrupt:
            with Interrupts(*handled_signals()):  # a second signal waits for this one write
                self._stop("interrupted", f"interrupted after epoch {self.last_epoch}")
            raise

    def _run(self, start: Checkpoint) -> TrainedRun:
        network, state, rng = start.network, start.state, start.random_generator()
        self._keep(network, state, rng, start.run)
        first = self.last_epoch
        if first == 0:
            log.info(describe(start.run["epochs"][0]))
        with self._bar(self.config.epochs - first) as bar, np.errstate(all="ignore"):
            for epoch in range(first, self.config.epochs):
                try:
                    network, state, row = self._epoch(epoch, network, state, rng, bar)
                except Diverged as error:
                    message = f"diverged in epoch {epoch + 1}: {error}; kept what stood after epoch {epoch}"
                    self._stop("diverged", message)
                    break
                status = "finished" if epoch + 1 == self.config.epochs else "running"
                rows = [*self.run_so_far["epochs"], row]
                self._keep(network, state, rng, self.run_so_far | {"epochs": rows, "status": status})
                rate = epoch_rate(self.config, epoch)
                bar.set_postfix_str(describe(row, rate))
                log.info(describe(row, rate) + (STILL if rate == 0 else ""))
            else:
                self._stop("finished")
        return TrainedRun(self.run_so_far, network, state)

    def _epoch(self, epoch: int, network: Network, state: Any, rng: np.random.Generator, bar: Any) -> Any:
        def after_step() -> None:
            bar.update()
            self.interrupts.check()

        within = StepEvaluations(self.evaluate_steps, epoch * self.steps.batches, self.data)
        order = self.steps.shuffled(rng)
        started = time.perf_counter()
        network, state, info = self.steps.epoch(epoch, network, state, order, after_step, within.after)
        synchronize(network.layers[-1].W)
        stepped = time.perf_counter()
        losses = losses_of(network, self.data)
        self._check_divergence(losses)
        check_state(state)
        row = {"epoch": epoch + 1, **losses, "step_seconds": stepped - started - within.seconds}
        row["eval_seconds"] = time.perf_counter() - stepped + within.seconds
        row |= {"steps": within.found} if within.found else {}
        return network, state, row | ({"diagnostics": info} if self.config.diagnostics else {})

    def _check_divergence(self, losses: dict[str, dict[str, float]]) -> None:
        untrained = self.run_so_far["epochs"][0]["train"]
        name = next(iter(untrained))
        loss = losses["train"][name]
        if not all(isfinite(value) for part in losses.values() for value in part.values()):
            raise Diverged(f"the {name} is no longer a finite number")
        if diverged(loss, untrained[name]):
            raise Diverged(f"the train {name} is {loss:.4g}, {DIVERGENCE:g} times the untrained network's")

    def _stop(self, status: Status, message: str | None = None) -> None:
        """Write the run file with its last status, if anything is kept; a finished run stays finished."""
        if self.run_so_far.get("status") != "finished":
            self.run_so_far = self.run_so_far | {"status": status} | ({"message": message} if message else {})
        if self.files and self.run_so_far.get("epochs"):
            write_run(self.files.run, self.run_so_far)

    def _keep(self, network: Network, state: Any, rng: np.random.Generator, run: dict[str, Any]) -> None:
        """Replace the checkpoint and then the run file, which is never ahead of it if the process dies."""
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

        quiet = None if self.progress else True  # None: no bar if standard error is not a terminal
        return tqdm(
            total=max(epochs, 0) * self.steps.batches, unit="step", disable=quiet, desc=self.config.method
        )


def describe(row: dict[str, Any], rate: float | None = None) -> str:
    """Return an epoch's row as one line, with the schedule's factor of the rate where that is known.

    >>> describe({"epoch": 1, "train": {"ce": 60.0}, "test": {"ce": 61.5}, "step_seconds": 2.0}, 0.2)
    'epoch 1: train ce 60, test ce 61.5, 2.0 s, rate x 0.2'
    """
    losses = [f"{part} {name} {value:.6g}" for part in ("train", "test") for name, value in row[part].items()]
    factor = "" if rate is None else f", rate x {rate:.3g}"
    return f"epoch {row['epoch']}: {', '.join(losses)}, {row['step_seconds']:.1f} s{factor}"

"""The runs of a final: plain resumable runs of `train`, judged on the held-out images.

The images to train on and the held-out ones are written once, as an NPZ. Beside it stand a run file for every
candidate, named by a hash of its configuration, and its checkpoint until it has ended.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock

from locoprop_ref.data import Dataset
from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.tune.final import Outcome
from locoprop_ref.experiments.tune.space import Values
from locoprop_ref.training import DIVERGENCE, train
from locoprop_ref.training.options import Config, as_json, from_json
from locoprop_ref.training.run_file import read_run, write_run


class RunWork(msgspec.Struct, frozen=True, tag="run"):
    """A candidate's run, as a process works on it.

    Args:
        method, settings: the candidate.
        config: of the run, as `options.as_json` writes it; its data are the file of `split_file`.
        out: the run file.
        sha256: hash of the data.
        jobs: runs side by side on this machine.
    """

    method: str
    settings: Values
    config: dict[str, Any]
    out: str
    sha256: str
    jobs: int

    def run(self) -> None:
        """Train, or go on where the run was interrupted; wait where another process is at the same run.

        Raises:
            ValueError, OSError: as `train`.
            KeyboardInterrupt: passed on; the run is resumed from its last complete epoch.
        """
        path = Path(self.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if self.outcome() is None:
                self._train(path)
            path.with_suffix(".npz").unlink(missing_ok=True)  # whole networks would fill the disk

    def _train(self, path: Path) -> None:
        try:
            with _silent(logging.getLogger("locoprop_ref.training")):
                train(from_json(self.config), out=path, resume=True, progress=False, jobs=self.jobs)
        except ValueError as error:
            run = read_run(path) if path.exists() else None
            if run is None or len(run["epochs"]) < 2:
                raise
            # after a whole epoch, settings and shapes are right, so that only the numbers can be the cause
            write_run(path, run | {"status": "diverged", "message": str(error)})

    def outcome(self) -> Outcome | None:
        """Return how the run ended, None where it has not. A diverged run counts as in `objective`.

        Raises:
            ValueError, OSError: the run file cannot be read, or is of other data.
        """
        if not Path(self.out).exists():
            return None
        run = read_run(self.out)
        if run["data"].get("sha256") != self.sha256:
            raise ValueError(f"{self.out} must be a run on the held-out split, got one on other data")
        first, last = (next(iter(run["epochs"][n]["test"].values())) for n in (0, -1))
        if run["status"] == "diverged":
            return Outcome(DIVERGENCE * first, diverged=True)
        return Outcome(last, diverged=False) if run["status"] == "finished" else None

    def describe(self, outcome: Outcome) -> str:
        """Return how the run ended, as a line for the user."""
        chosen = ", ".join(f"{option} {value}" for option, value in self.settings.items())
        ending = "diverged" if outcome.diverged else f"held-out loss {outcome.loss:.6g}"
        return f"{self.method} final: {ending}; {chosen}"


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Log no epochs: what `train` calls the test loss is here the held-out one."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def split_file(dataset: Dataset, folder: Path) -> Path:
    """Write the images to train on and the held-out ones as an NPZ for `train`, unless it is there."""
    path = folder / f"held-out-{dataset.sha256[:12]}.npz"
    if not path.exists():
        x, held_out = dataset.x_train, dataset.x_test
        write_atomically(path, lambda file: np.savez(file, x_train=x, x_test=held_out))
    return path


def run_of(method: str, settings: Values, config: Config, *, split: Path, sha256: str, jobs: int) -> RunWork:
    """Return the run of a candidate, beside the split, named by a hash of all that decides its result."""
    options = as_json(replace(config, data=split.name))
    decides = json.dumps([options, sha256], sort_keys=True)
    out = split.with_name(f"{method}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}.json")
    return RunWork(method, settings, options | {"data": str(split)}, str(out), sha256, jobs)

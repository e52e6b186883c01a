r"""The run file: one JSON that says what was run, on what, and how the losses fell.

    schema        1
    config        every option, see `options.Config`
    data          {name, sha256}
    environment   versions, array library, BLAS and threads; no host name, no paths
    epochs        [{epoch, train {ce, mse, ...}, test {...}, step_seconds, eval_seconds, ...}], 0 = untrained;
                  with `evaluate_steps` also steps [{step, test {...}}], step counted from the run's beginning
                  and null in place of a number that is not finite
    status        running, finished, interrupted or diverged
    message       one sentence that says why the run stopped early, if it did
    jobs          how many runs shared the machine, if that is known: compare seconds only where it is 1
    command       the comparison's command line, if the run belongs to a comparison

`ce` is the cross-entropy summed over the outputs and averaged over the examples (`squared_error` instead for
that network loss); `mse` is the mean over outputs and examples; `accuracy` is a share. Time axes are the
summed `step_seconds`: they leave out the evaluation.

In memory the content is the dict that the JSON spells, so that keys which a later version adds survive.
`check_run` compares it with the records below.
"""

import json
import os
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from locoprop_ref import checks
from locoprop_ref.data.files import write_atomically
from locoprop_ref.data.records import as_record, read_json

SCHEMA = 1

Status = Literal["running", "finished", "interrupted", "diverged"]
Losses = Annotated[dict[str, float], msgspec.Meta(min_length=1)]


class StepRecord(msgspec.Struct):
    """The losses on the test set after a step, null where one was not finite."""

    step: int
    test: Annotated[dict[str, float | None], msgspec.Meta(min_length=1)]


class EpochRecord(msgspec.Struct):
    """The losses after an epoch and within it, and the seconds that its steps and its evaluation took."""

    epoch: int
    train: Losses
    test: Losses
    step_seconds: float
    eval_seconds: float
    steps: list[StepRecord] = []


class ConfigRecord(msgspec.Struct):
    """The one option that every reader needs; `options.from_json` checks the others."""

    method: Annotated[str, msgspec.Meta(max_length=100)]


class DataRecord(msgspec.Struct):
    """The data set's name and hash."""

    name: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    sha256: str = ""


class RunRecord(msgspec.Struct):
    """The keys of a run file with their types."""

    schema: int
    config: ConfigRecord
    data: DataRecord
    environment: dict[str, Any]
    status: Status
    epochs: Annotated[list[EpochRecord], msgspec.Meta(min_length=1)]
    message: str | None = None
    jobs: Annotated[int, msgspec.Meta(ge=1)] | None = None
    command: str = ""


@dataclass(frozen=True)
class Files:
    """Where a run is kept: the run file, and the checkpoint beside it."""

    run: Path

    def __post_init__(self) -> None:
        if self.run.suffix != ".json":
            raise ValueError(f"out must be a path that ends in .json, got {checks.shown(str(self.run))}")

    @property
    def checkpoint(self) -> Path:
        """The checkpoint beside the run file."""
        return self.run.with_suffix(".npz")

    @property
    def lock(self) -> Path:
        """A hidden file beside it, which a process holds while it trains."""
        return self.run.with_name(f".{self.run.name}.lock")


def write_run(path: str | os.PathLike[str], run: dict[str, Any]) -> None:
    """Write a run file atomically; NaN and infinity are refused, because JSON has neither.

    Raises:
        OSError: it cannot be written; an earlier state of the file is intact.
        ValueError: a number that is not finite.
    """
    text = json.dumps(run, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_run(path: str | os.PathLike[str], *, max_bytes: int = 1 << 26) -> dict[str, Any]:
    """Read a run file and check its content.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a run file of this schema; one sentence names the place.
    """
    run = read_json(path, "a run file", max_bytes=max_bytes)
    try:
        check_run(run)
    except ValueError as error:
        raise ValueError(f"{path} must be a run file of schema {SCHEMA}, but {error}") from None
    return run


def check_run(run: object) -> None:
    """Check the content of a run file.

    Raises:
        ValueError: what is wrong with it; the words continue a sentence that ends in "but".
    """
    if isinstance(run, dict) and run.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {run.get('schema')!r}"[:80])
    epochs = as_record(run, RunRecord).epochs
    for index, row in enumerate(epochs):
        if row.epoch != index:
            raise ValueError(f"its epoch {index} is missing")
        numbers = [row.step_seconds, row.eval_seconds, *row.train.values(), *row.test.values()]
        if not all(map(isfinite, numbers)):
            raise ValueError(f"its epoch {index} has a number that is not finite")
        if min(row.step_seconds, row.eval_seconds) < 0:
            raise ValueError(f"its epoch {index} has a time below 0")
        if (row.train.keys(), row.test.keys()) != (epochs[0].train.keys(), epochs[0].test.keys()):
            raise ValueError(f"its epoch {index} has other losses than the first")
    numbers_of_steps = [one.step for row in epochs for one in row.steps]
    if numbers_of_steps != sorted({*numbers_of_steps}) or min(numbers_of_steps, default=1) < 1:
        raise ValueError("its steps do not rise from 1")
    for one in (one for row in epochs for one in row.steps):
        if one.test.keys() != epochs[0].test.keys():
            raise ValueError(f"its step {one.step} has other losses than the first epoch")

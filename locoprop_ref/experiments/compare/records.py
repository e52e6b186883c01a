"""The JSON files of a comparison as records: written from them, and read into them with every type checked.

The names of the keys are those of the files; where a record has a better name, the class says so.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from locoprop_ref.data.files import write_atomically
from locoprop_ref.data.records import as_record, read_json
from locoprop_ref.training.options import Config, from_json

SCHEMA: Literal[1] = 1
# numbers that a computation can go on with: what a file says is not trusted
Natural = Annotated[int, Meta(ge=0, le=2**53)]
Count = Annotated[int, Meta(ge=1, le=2**53)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
Bytes = Annotated[float, Meta(ge=0, le=2.0**60)]
Record = TypeVar("Record", bound=Struct)


class Data(Struct, frozen=True):
    """The data set: its name, the SHA-256 of its bytes, and its numbers of examples."""

    name: str
    sha256: str
    train: Count
    test: Count


class Entry(Struct, frozen=True, kw_only=True):
    """What one entry of the comparison has to itself: its settings, and where they come from.

    `epochs` and `schedule_epochs` are among the settings only where the entry has its own number of epochs.
    """

    label: str
    tuned: bool = False
    source: str = ""
    settings: dict[str, Any]
    study: Any = None


class Plan(Struct, frozen=True, kw_only=True, rename={"entries": "contestants"}):
    """What a comparison is to run, before its data are known."""

    schema: Literal[1] = SCHEMA
    kind: str = "comparison"
    command: str
    preset: str = ""
    seeds: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)]
    shared: dict[str, Any]
    entries: dict[str, Entry]

    @property
    def epochs(self) -> int:
        """The last epoch of every run, but for entries that have their own number of epochs."""
        return self.shared["epochs"]

    def epochs_of(self, entry: str) -> int:
        """Return the last epoch of an entry's runs."""
        return self.entries[entry].settings.get("epochs", self.epochs)

    @property
    def different_epochs(self) -> list[int]:
        """The numbers of epochs of the entries, in ascending order, each once."""
        return sorted({self.epochs_of(entry) for entry in self.entries})


class Manifest(Plan, frozen=True, kw_only=True, rename={"entries": "contestants"}):
    """The plan with its data and environment, as it stands in the results folder, `comparison.json`."""

    data: Data
    environment: dict[str, Any]

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return self.data.train // self.shared["batch_size"]

    def steps_per_epoch_of(self, entry: str) -> int:
        """Return how many steps an epoch of an entry has: one where a step takes all examples."""
        return self.steps_per_epoch if "batch_size" in self.settings(entry) else 1

    def settings(self, entry: str) -> dict[str, Any]:
        """Return the settings of an entry's runs, but for the seed and the length of the training."""
        settings = self.shared | self.entries[entry].settings | {"data": self.data.name}
        return {k: v for k, v in settings.items() if k not in ("epochs", "images") and v is not None}

    def config(self, entry: str, data: str) -> Config:
        """Return the settings of the first seed's run; `data` says where the images really are."""
        run = {"epochs": self.epochs_of(entry), "seed": self.seeds[0], "data": data}
        return from_json(self.settings(entry) | run)

    def wanted_of_run(self, entry: str, seed: int) -> dict[str, Any]:
        """Return what a run file must say, see `said_by`; more epochs make no difference."""
        return self.settings(entry) | {"seed": seed, "data sha256": self.data.sha256[:8]}

    def wanted_of_clock(self, entry: str) -> dict[str, Any]:
        """Return the settings that a clock file must have: those that change a step."""
        return {k: v for k, v in self.settings(entry).items() if k != "schedule_epochs"}


def said_by(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run file says of its settings and its data."""
    config = {name: value for name, value in run["config"].items() if name != "epochs"}
    return config | {"data sha256": str(run["data"].get("sha256"))[:8]}


class Shared(Struct, frozen=True):
    """What is read of the settings that all entries have in common."""

    epochs: Natural
    batch_size: Count
    layers: str


class Backend(Struct, frozen=True):
    """The array library, and the device of its arrays."""

    name: str
    device: str


class Environment(Struct, frozen=True, rename={"package": "locoprop-ref"}):
    """What is read of an environment, see `training.environment`."""

    package: str
    python: str
    machine: str
    cores: Count
    versions: dict[str, Any]
    backend: Backend
    blas: list[Any]


class CheckedManifest(Struct, frozen=True):
    """The parts of a manifest that are read, but kept in memory as they stand in the file."""

    shared: Shared
    environment: Environment


class Step(Struct, frozen=True):
    """What is read of the seconds of a step: the mean, and the means of its blocks."""

    mean: Seconds
    blocks: Annotated[list[Seconds], Meta(min_length=1)]


class Memory(Struct, frozen=True):
    """What is read of the bytes of a step; no peak where it could not be measured."""

    parameter_bytes: Annotated[float, Meta(ge=1, le=2.0**60)]
    state_bytes: Bytes
    counted_bytes: Bytes
    peak_bytes: Bytes | None = None


class Clock(Struct, frozen=True, kw_only=True, rename={"entry": "contestant"}):
    """What is read of the seconds and the memory of an entry's step, `ENTRY-clock.json`."""

    schema: Literal[1]
    entry: str
    config: dict[str, Any]
    environment: dict[str, Any]
    step: Step
    memory: Memory
    load: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    together: list[str] = []


def differences(there: Mapping[str, Any], here: Mapping[str, Any], *, of: str = "") -> list[str]:
    """Return in words where the settings in a file (there) differ from those that are wanted (here).

    >>> differences({"width": 2.0}, {"width": 1.0, "depth": 1}, of="adam")
    ['adam depth None there, 1 here', 'adam width 2.0 there, 1.0 here']
    """
    return [
        f"{of} {name} {there.get(name)!r} there, {here.get(name)!r} here".lstrip()
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]


def write_json(path: Path, value: Any) -> None:
    """Write a record, or JSON values, atomically; NaN and infinity are refused."""
    text = json.dumps(msgspec.to_builtins(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_record(path: Path, what: str, kind: type[Record], *parts: type[Struct]) -> Record:
    """Read a JSON file into a record.

    Args:
        path: the file.
        what: it should be, for the errors.
        kind: of the record.
        *parts: further records that the content must fit.

    Raises:
        OSError, ValueError: one sentence that says what is wrong with the file, and where.
    """
    content = read_json(path, what)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path} must be {what} of schema {SCHEMA}, got another file")
    try:
        for part in parts:
            as_record(content, part)
        return as_record(content, kind)
    except ValueError as error:
        raise ValueError(f"{path} must be {what}, but {error}") from None

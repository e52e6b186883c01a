"""The form of a stored study: typed records, read from JSON with one sentence for every error."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from locoprop_ref.data.records import NotJson, as_record, parse_json

Value = str | int | float


class StudyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the settings were searched."""

    trials: int
    complete: int
    pruned: int
    failed: int
    diverged: int
    sampler: dict[str, Value]
    pruner: dict[str, Value]
    seed: int
    loss: float
    untuned_loss: float | None
    ranges: dict[str, list[Value]]
    edges: dict[str, Literal["low", "high"]]
    versions: dict[str, str | None]
    command: str
    space: str | msgspec.UnsetType = msgspec.UNSET  # which search space, where it is not the narrow one


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that a final tried, with their held-out loss.

    In a final with a budget also the seconds to the target loss, null where it was not reached.
    """

    settings: dict[str, Value]
    loss: float
    seconds: float | msgspec.UnsetType | None = msgspec.UNSET


class Final(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The choice on the whole network."""

    problem: dict[str, Value | None]
    candidates: list[Candidate]
    chosen: int
    loss: float


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trial with a budget: its loss, and its seconds to the target loss, null where it did not reach it."""

    settings: dict[str, Value]
    loss: float
    seconds: float | None


class Frontier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a study with two objectives found; `target` and `budget` are those of its trials."""

    target: float
    budget: float
    penalty: str
    reached: int
    chosen_by: Literal["seconds", "loss"]
    front: list[Point]
    final_target: float | None
    final_budget: float | None
    final_by_loss: Final | None


class Tuned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tuned settings with where they come from; the fields are described in `tuned`."""

    schema: Literal[1]
    contestant: str
    settings: dict[str, Value]
    problem: dict[str, Value | None]
    study: StudyRecord
    final: Final | msgspec.UnsetType = msgspec.UNSET
    frontier: Frontier | msgspec.UnsetType = msgspec.UNSET


def read_record(path: Any) -> Tuned:
    """Read tuned settings.

    Args:
        path: of the JSON file, or a resource of the package.

    Raises:
        OSError: it cannot be read.
        ValueError: it does not have this form; the sentence names the place.
    """
    try:
        return as_record(parse_json(path.read_bytes()), Tuned)
    except NotJson as error:
        reason = f"it is not JSON ({error})"
    except ValueError as error:
        reason = str(error)
    name = "/".join(Path(str(path)).parts[-2:])
    raise ValueError(f"{name} must hold tuned settings of schema 1, but {reason}")

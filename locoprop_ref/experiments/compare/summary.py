"""The numbers of a comparison: losses, seconds and memory of every contestant, from a folder's files alone.

A number over seeds is a `Spread`: median, least and largest. A run that diverged counts with an infinite
loss, and a run that is not finished not at all; both are said. Seconds come from the clock files, or, where
there is none, from runs that had the machine to themselves; else there are none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from locoprop_ref.experiments.compare.folder import Results

# whose final train loss is the mark that all others are timed to
MARK = "rmsprop"


@dataclass(frozen=True)
class Spread:
    """Median, least and largest value over seeds, or over blocks of timed steps."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of some values, None of none.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0)
    """
    found = sorted(values)
    if not found:
        return None
    upper, lower = found[len(found) // 2], found[(len(found) - 1) // 2]
    return Spread(upper if upper == lower else (lower + upper) / 2, found[0], found[-1])


@dataclass(frozen=True)
class Row:
    """What the table says of one contestant; None is not known, infinity is diverged or never reached."""

    contestant: str
    label: str
    seeds: int
    diverged: int
    unfinished: int
    final_train: Spread | None
    final_test: Spread | None
    best_train: Spread | None
    best_test: Spread | None
    step_seconds: Spread | None
    epoch_seconds: float | None
    seconds_from: str | None
    epochs_to_mark: Spread | None
    seconds_to_mark: Spread | None
    state: float | None
    peak: float | None
    counted: float | None


def loss_name(results: Results) -> str:
    """Return the network loss's name in the run files: "ce" or "squared_error".

    Raises:
        ValueError: no run at all.
    """
    for runs in results.runs.values():
        for run in runs.values():
            return next(iter(run["epochs"][0]["train"]))
    raise ValueError("a comparison must hold at least one run, got none")


def finished(results: Results, contestant: str) -> dict[int, dict[str, Any]]:
    """Return the runs that have come to the last epoch or diverged, by seed."""
    last = results.manifest["shared"]["epochs"]
    runs = results.runs[contestant].items()
    return {s: r for s, r in runs if r["status"] == "diverged" or r["epochs"][-1]["epoch"] >= last}


def final_loss(run: Mapping[str, Any], split: str, name: str) -> float:
    """Return the loss after the last epoch, infinity for a run that diverged."""
    return inf if run["status"] == "diverged" else float(run["epochs"][-1][split][name])


def best_loss(run: Mapping[str, Any], split: str, name: str) -> float:
    """Return the least loss of all epochs, infinity for a run that diverged."""
    return inf if run["status"] == "diverged" else min(float(row[split][name]) for row in run["epochs"])


def rows_of(results: Results) -> list[Row]:
    """Return the table, a row for each contestant in the manifest's order.

    Raises:
        ValueError: no run at all.
    """
    name = loss_name(results)
    marks = marks_of(results, name)
    return [_row(results, contestant, name, marks) for contestant in results.manifest["contestants"]]


def marks_of(results: Results, name: str) -> dict[int, float]:
    """Return RMSProp's final train loss by seed, where it has a finite one.

    Every run is timed to the mark of its own seed: the same weights, the same batches.
    """
    runs = finished(results, MARK) if MARK in results.runs else {}
    found = {seed: final_loss(run, "train", name) for seed, run in runs.items()}
    return {seed: loss for seed, loss in found.items() if isfinite(loss)}


def _row(results: Results, contestant: str, name: str, marks: Mapping[int, float]) -> Row:
    done = finished(results, contestant)
    runs = list(done.values())
    step, source = step_seconds(results, contestant)
    epoch = step.median * steps_per_epoch(results) if step else None
    reached = spread(epochs_to(run, marks[seed], name) for seed, run in done.items() if seed in marks)
    memory = results.clocks.get(contestant, {}).get("memory", {})
    unit = memory.get("parameter_bytes", 1)
    parts = {key: memory.get(f"{key}_bytes") for key in ("state", "peak", "counted")}
    return Row(
        contestant=contestant,
        label=results.manifest["contestants"][contestant]["label"],
        seeds=len(done),
        diverged=sum(run["status"] == "diverged" for run in runs),
        unfinished=len(results.manifest["seeds"]) - len(done),
        final_train=spread(final_loss(run, "train", name) for run in runs),
        final_test=spread(final_loss(run, "test", name) for run in runs),
        best_train=spread(best_loss(run, "train", name) for run in runs),
        best_test=spread(best_loss(run, "test", name) for run in runs),
        step_seconds=step,
        epoch_seconds=epoch,
        seconds_from=source,
        epochs_to_mark=reached,
        seconds_to_mark=_times(reached, epoch),
        **{key: None if value is None else value / unit for key, value in parts.items()},
    )


def _times(value: Spread | None, factor: float | None) -> Spread | None:
    if value is None or factor is None:
        return None
    return Spread(value.median * factor, value.low * factor, value.high * factor)


def steps_per_epoch(results: Results) -> int:
    """Return how many batches an epoch has."""
    return results.manifest["data"]["train"] // results.manifest["shared"]["batch_size"]


def step_seconds(results: Results, contestant: str) -> tuple[Spread | None, str | None]:
    """Return seconds of a step, the mean of the clock with the range of its blocks, and where they come from.

    Without a clock file, and where every run had the machine to itself (`jobs` is 1), the median over their
    epochs; else None.
    """
    clock = results.clocks.get(contestant)
    if clock:
        blocks = clock["step"]["blocks"]
        return Spread(clock["step"]["mean"], min(blocks), max(blocks)), "clock"
    runs = list(results.runs[contestant].values())
    steps = steps_per_epoch(results)
    epochs = [row["step_seconds"] / steps for run in runs for row in run["epochs"][1:]]
    if not epochs or any(run.get("jobs") != 1 for run in runs):
        return None, None
    return spread(epochs), "runs"


def epochs_to(run: Mapping[str, Any], mark: float, name: str) -> float:
    """Return the first epoch whose train loss is at most the mark, infinity where none is."""
    reached = (row["epoch"] for row in run["epochs"] if row["train"][name] <= mark)
    return float(next(reached, inf))


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON values; infinity is spelled "inf"."""
    return [plain(asdict(row)) for row in rows]


def plain(value: Any) -> Any:
    """Return a nest with infinities spelled "inf" and NumPy's numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if isfinite(value) else "inf" if value > 0 else "-inf"
    return value

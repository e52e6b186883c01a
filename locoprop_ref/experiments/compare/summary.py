"""The numbers of a comparison: losses, seconds and memory of every entry, from a folder's files alone.

A number over seeds is a `Spread`: median, least and largest. A run that diverged counts with an infinite
loss, and a run that is not finished not at all; the notes name both. Seconds come from the clock files, or,
where there is none, from runs that had the machine to themselves; else there are none.
"""

import json
import statistics
from collections.abc import Iterable, Mapping
from math import inf, isfinite
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.records import Manifest

# whose final train loss is the mark to which all others are timed
MARK = "rmsprop"


class Spread(Struct, frozen=True):
    """Median, least and largest value over seeds, or over blocks of timed steps."""

    median: float
    low: float
    high: float

    def times(self, factor: float) -> "Spread":
        """Return the spread of the values times a factor."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of some values, None of none.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0)
    """
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found)) if found else None


class Row(Struct, frozen=True, rename={"entry": "contestant"}):
    """What the table says of one entry; None is not known, infinity is diverged or never reached.

    `epochs` is there where entries have different numbers of epochs, `test_accuracy` (after the last epoch,
    from 0 to 1, and 0 of a run that diverged) where labels are classified.
    """

    entry: str
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
    epochs: int | UnsetType = UNSET
    test_accuracy: Spread | UnsetType | None = UNSET


def loss_name(results: Results) -> str:
    """Return the network loss's name in the run files: "ce" or "squared_error".

    Raises:
        ValueError: no run at all.
    """
    for runs in results.runs.values():
        for run in runs.values():
            return next(iter(run["epochs"][0]["train"]))
    raise ValueError("a comparison must hold at least one run, got none")


def classifies(results: Results) -> bool:
    """Tell whether the runs have accuracies."""
    return results.manifest.shared.get("task") == "classify"


def accuracy(run: Mapping[str, Any]) -> float:
    """Return the test accuracy of a run after its last epoch; 0 for a run that diverged."""
    return 0.0 if run["status"] == "diverged" else float(run["epochs"][-1]["test"]["accuracy"])


def losses(run: Mapping[str, Any], split: str, name: str) -> list[float]:
    """Return a loss of a run after each epoch; infinity alone for a run that diverged."""
    return [inf] if run["status"] == "diverged" else [float(row[split][name]) for row in run["epochs"]]


def finished(results: Results, entry: str) -> dict[int, dict[str, Any]]:
    """Return the runs that have come to the last epoch or diverged, by seed."""
    last, runs = results.manifest.epochs_of(entry), results.runs[entry]
    return {s: r for s, r in runs.items() if r["status"] == "diverged" or r["epochs"][-1]["epoch"] >= last}


def rows_of(results: Results) -> list[Row]:
    """Return the table, a row for each entry in the manifest's order.

    Every run is timed to RMSProp's final train loss of its own seed: the same weights, the same batches.

    Raises:
        ValueError: no run at all.
    """
    name = loss_name(results)
    marked = finished(results, MARK) if MARK in results.runs else {}
    marks = {seed: losses(run, "train", name)[-1] for seed, run in marked.items()}
    marks = {seed: loss for seed, loss in marks.items() if isfinite(loss)}
    return [_row(results, entry, name, marks) for entry in results.manifest.entries]


def _row(results: Results, entry: str, name: str, marks: Mapping[int, float]) -> Row:
    manifest, done = results.manifest, finished(results, entry)
    step, source = step_seconds(results, entry)
    epoch = step.median * manifest.steps_per_epoch_of(entry) if step else None
    reached = spread(_epochs_to(run, marks[seed], name) for seed, run in done.items() if seed in marks)
    ended = sum(run["status"] == "diverged" for run in done.values())
    if reached and reached.high == inf and not ended and _stops_before_mark(manifest, entry):
        reached = None  # it might have come there later
    curves = {split: [losses(run, split, name) for run in done.values()] for split in ("train", "test")}
    return Row(
        entry=entry,
        label=manifest.entries[entry].label,
        seeds=len(done),
        diverged=ended,
        unfinished=len(manifest.seeds) - len(done),
        final_train=spread(curve[-1] for curve in curves["train"]),
        final_test=spread(curve[-1] for curve in curves["test"]),
        best_train=spread(min(curve) for curve in curves["train"]),
        best_test=spread(min(curve) for curve in curves["test"]),
        step_seconds=step,
        epoch_seconds=epoch,
        seconds_from=source,
        epochs_to_mark=reached,
        seconds_to_mark=reached.times(epoch) if reached and epoch is not None else None,
        **_memory(results, entry),
        epochs=manifest.epochs_of(entry) if len(manifest.different_epochs) > 1 else UNSET,
        test_accuracy=spread(map(accuracy, done.values())) if classifies(results) else UNSET,
    )


def _stops_before_mark(manifest: Manifest, entry: str) -> bool:
    """Tell whether an entry has fewer epochs than the one whose final loss is the mark."""
    return MARK in manifest.entries and manifest.epochs_of(entry) < manifest.epochs_of(MARK)


def _memory(results: Results, entry: str) -> dict[str, float | None]:
    """Return the bytes of a clock file in multiples of the parameters'."""
    if entry not in results.clocks:
        return dict.fromkeys(("state", "peak", "counted"))
    memory = results.clocks[entry].memory
    unit, peak = memory.parameter_bytes, memory.peak_bytes
    state, counted = memory.state_bytes / unit, memory.counted_bytes / unit
    return {"state": state, "peak": None if peak is None else peak / unit, "counted": counted}


def step_seconds(results: Results, entry: str) -> tuple[Spread | None, str | None]:
    """Return seconds of a step, the mean of the clock with the range of its blocks, and where they come from.

    Without a clock file, and where every run had the machine to itself (`jobs` is 1), the median over their
    epochs; else None.
    """
    if entry in results.clocks:
        step = results.clocks[entry].step
        return Spread(step.mean, min(step.blocks), max(step.blocks)), "clock"
    runs = list(results.runs[entry].values())
    steps = results.manifest.steps_per_epoch_of(entry)
    found = spread(row["step_seconds"] / steps for run in runs for row in run["epochs"][1:])
    if found is None or any(run.get("jobs") != 1 for run in runs):
        return None, None
    return found, "runs"


def _epochs_to(run: Mapping[str, Any], mark: float, name: str) -> float:
    """Return the first epoch whose train loss is at most the mark, infinity where none is."""
    reached = (row["epoch"] for row in run["epochs"] if row["train"][name] <= mark)
    return float(next(reached, inf))


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON values; infinity is spelled "inf"."""
    text = json.dumps([msgspec.to_builtins(row) for row in rows])
    return json.loads(text, parse_constant=lambda _: "inf")

"""The table of a comparison: losses, seconds and memory of every contestant, from a folder's files alone.

A number over seeds is a `Spread`: median, least and largest. A run that diverged counts with an infinite
loss, and a run that is not finished not at all; both are said. Seconds come from the clock files, or, where
there is none, from runs that had the machine to themselves; else there are none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from locoprop_ref.compare.folder import Results

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


# as text, Markdown and JSON -----------------------------------------------------------------------------


def columns(rows: list[Row]) -> list[list[str]]:
    """Return the table's cells as text, the head first."""
    head = ["method", "final train", "final test", "best train", "best test", "s/epoch"]
    head += [f"epochs to {MARK}", f"s to {MARK}", "state", "peak", "counted"]
    return [head, *(_cells(row) for row in rows)]


def _cells(row: Row) -> list[str]:
    losses = (row.final_train, row.final_test, row.best_train, row.best_test)
    reached = (row.epochs_to_mark, row.seconds_to_mark)
    return [
        row.label,
        *(_spell_loss(value) for value in losses),
        "" if row.epoch_seconds is None else f"{row.epoch_seconds:.3g}",
        *("" if v is None else f"{v.median:.3g}" if isfinite(v.median) else "not reached" for v in reached),
        *("" if v is None else f"{v:.3g}" for v in (row.state, row.peak, row.counted)),
    ]


def _spell_loss(value: Spread | None) -> str:
    if value is None:
        return ""
    if not isfinite(value.median):
        return "diverged"
    if value.low == value.high:
        return f"{value.median:.4g}"
    high = f"{value.high:.4g}" if isfinite(value.high) else "diverged"
    return f"{value.median:.4g} ({value.low:.4g} to {high})"


def text_table(rows: list[Row]) -> str:
    """Return the table in aligned columns."""
    cells = columns(rows)
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = []
    for line in cells:
        padded = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown_table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    head, *body = columns(rows)
    lines = [f"| {' | '.join(head)} |", "|" + "|".join([" :-- ", *[" --: "] * (len(head) - 1)]) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(line)} |" for line in body)])


def notes(results: Results, rows: list[Row]) -> list[str]:
    """Return sentences on what the columns are, and on runs that are missing, diverged or without seconds."""
    name, seeds = loss_name(results), results.manifest["seeds"]
    told = [
        f"Losses are {name} after epoch {results.manifest['shared']['epochs']} (final) and the least of all "
        f"epochs (best)"
        + (
            ": of a single seed."
            if len(seeds) == 1
            else f": median over {len(seeds)} seeds, least to largest in brackets."
        ),
        "Best test is chosen with the test set itself: it says what stopping at the right moment could give.",
        "Seconds an epoch are the mean seconds of a step, methods in turn with all cores, times the steps.",
        "State, peak and counted are bytes in multiples of the parameters': the state kept from step to "
        "step, the traced peak of a step, and the count by formula of what it must hold.",
    ]
    for row in rows:
        for count, what in ((row.diverged, "diverged"), (row.unfinished, "not finished")):
            if count:
                told.append(f"{row.label}: {count} of {len(seeds)} runs {what}.")
    sources: dict[str, list[str]] = {}
    for about in results.manifest["contestants"].values():
        sources.setdefault(about.get("source", ""), []).append(about["label"])
    told += [f"Settings {s}: {', '.join(who)}." for s, who in sources.items() if s.startswith("tuned on")]
    others = _other_environments(results)
    if others:
        told.append(f"Made in another environment than the plan: {', '.join(others)}.")
    clocks = {row.label: results.clocks[row.contestant] for row in rows if row.contestant in results.clocks}
    quiet = results.manifest["environment"]["cores"] / 2
    busy = [label for label, clock in clocks.items() if (clock.get("load") or 0) > quiet]
    if busy:
        told.append(
            f"Seconds measured while other work held the cores, not to be trusted: {', '.join(busy)}."
        )
    sittings = {tuple(clock.get("together", [])) for clock in clocks.values()}
    if len(sittings) > 1:
        told.append(
            f"Seconds were measured in {len(sittings)} sittings, between which the machine may drift."
        )
    without = [row.label for row in rows if row.seconds_from is None]
    if without:
        told.append(f"No seconds, for want of a clock file: {', '.join(without)}.")
    return told


def _other_environments(results: Results) -> list[str]:
    """Return the runs and clocks whose versions, machine or array library are not the plan's."""
    keys = ("locoprop-ref", "python", "machine", "cores", "versions", "backend")
    here = {key: results.manifest["environment"][key] for key in keys}
    runs = {f"{name} seed {seed}": run for name, found in results.runs.items() for seed, run in found.items()}
    files = runs | {f"{name} clock": clock for name, clock in results.clocks.items()}
    return [name for name, file in files.items() if {k: file["environment"].get(k) for k in keys} != here]


def provenance_lines(results: Results) -> list[str]:
    """Return what made the results: command, data, machine and versions."""
    found = results.manifest
    about, blas = found["environment"], found["environment"]["blas"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    kernels = ", ".join(
        f"{b['library']} {b['version']} {b['kernel']} on {b['threads']} threads" for b in blas[:1]
    )
    return [
        f"Command: {found['command']}",
        f"Data: {found['data']['name']} ({found['data']['train']} + {found['data']['test']} images, SHA-256 "
        f"{found['data']['sha256'][:12]}), network {found['shared']['layers']}, seeds "
        f"{', '.join(map(str, found['seeds']))}.",
        f"Machine: {about['machine']}, {about['cores']} cores, {about['backend']['name']} on "
        f"{about['backend']['device']}; locoprop-ref {about['locoprop-ref']}, Python {about['python']}, "
        f"{versions}; {kernels}.",
    ]


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

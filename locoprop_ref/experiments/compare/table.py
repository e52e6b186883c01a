"""The table of a comparison as text and Markdown, with notes on what is in it and what made it."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.summary import MARK, Row, Spread, loss_name


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
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for name, *others in cells:
        padded = [name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown_table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    head, *body = columns(rows)
    lines = [f"| {' | '.join(head)} |", "|" + "|".join([" :-- ", *[" --: "] * (len(head) - 1)]) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(line)} |" for line in body)])


def notes(results: Results, rows: list[Row]) -> list[str]:
    """Return sentences on what the columns are, and on runs that are missing, diverged or without seconds."""
    name, seeds = loss_name(results), results.manifest.seeds
    over = (
        ": of a single seed."
        if len(seeds) == 1
        else f": median over {len(seeds)} seeds, least to largest in brackets."
    )
    told = [
        f"Losses are {name} after epoch {results.manifest.epochs} (final) and the least of all epochs (best)"
        + over,
        "Best test is chosen with the test set itself: it says what stopping at the right moment could give.",
        "Seconds an epoch are the mean seconds of a step, methods in turn with all cores, times the steps.",
        "State, peak and counted are bytes in multiples of the parameters': the state kept from step to "
        "step, the peak in a step by the allocator (which does not see LAPACK's workspace), and the count by "
        "formula of what it must hold.",
    ]
    for row in rows:
        for count, what in ((row.diverged, "diverged"), (row.unfinished, "not finished")):
            if count:
                told.append(f"{row.label}: {count} of {len(seeds)} runs {what}.")
    sources: dict[str, list[str]] = {}
    for entry in results.manifest.entries.values():
        sources.setdefault(entry.source, []).append(entry.label)
    told += [f"Settings {s}: {', '.join(who)}." for s, who in sources.items() if s.startswith("tuned on")]
    if others := _other_environments(results):
        told.append(f"Made in another environment than the plan: {', '.join(others)}.")
    return told + _notes_on_seconds(results, rows)


def _notes_on_seconds(results: Results, rows: list[Row]) -> list[str]:
    told = []
    clocks = {row.label: results.clocks[row.entry] for row in rows if row.entry in results.clocks}
    quiet = results.manifest.environment["cores"] / 2
    busy = [label for label, clock in clocks.items() if (clock.load or 0) > quiet]
    if busy:
        told.append(
            f"Seconds measured while other work held the cores, not to be trusted: {', '.join(busy)}."
        )
    sittings = {tuple(clock.together) for clock in clocks.values()}
    if len(sittings) > 1:
        told.append(
            f"Seconds were measured in {len(sittings)} sittings, between which the machine may drift."
        )
    without = [row.label for row in rows if row.seconds_from is None]
    if without:
        told.append(f"No seconds, for want of a clock file: {', '.join(without)}.")
    return told


def _environments(results: Results) -> dict[str, dict[str, Any]]:
    """Return the environments of all runs and clocks, by what they are of."""
    runs = {
        f"{name} seed {seed}": run["environment"]
        for name, found in results.runs.items()
        for seed, run in found.items()
    }
    return runs | {f"{name} clock": clock.environment for name, clock in results.clocks.items()}


def _other_environments(results: Results) -> list[str]:
    """Return the runs and clocks whose versions, machine or array library are not the plan's."""
    keys = ("locoprop-ref", "python", "machine", "cores", "versions", "backend")
    here = {key: results.manifest.environment[key] for key in keys}
    found = _environments(results).items()
    return [name for name, there in found if {key: there.get(key) for key in keys} != here]


def provenance_lines(results: Results) -> list[str]:
    """Return what made the results: command, data, machine and versions."""
    manifest, data, about = results.manifest, results.manifest.data, results.manifest.environment
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    blas = [f"{b.get('library')} {b.get('version')} {b.get('kernel')}" for b in _blas(about)]
    return [
        f"Command: {manifest.command}",
        f"Data: {data.name} ({data.train} + {data.test} images, SHA-256 {data.sha256[:12]}), "
        f"network {manifest.shared['layers']}, seeds {', '.join(map(str, manifest.seeds))}.",
        f"Machine: {about['machine']}, {about['cores']} cores, {about['backend']['name']} on "
        f"{about['backend']['device']}; locoprop-ref {about['locoprop-ref']}, Python {about['python']}, "
        f"{versions}; {''.join(blas[:1])}.",
        *_threads(results),
    ]


def _blas(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the BLAS libraries of an environment, those with a number of threads."""
    listed = environment.get("blas")
    known = [b for b in listed if isinstance(b, dict)] if isinstance(listed, list) else []
    return [b for b in known if isinstance(b.get("threads"), int)]


def _threads(results: Results) -> list[str]:
    """Say how many runs were side by side, on how many threads, and on how many the clocks were."""

    def in_words(numbers: Iterable[int | None]) -> str:
        return " or ".join(map(str, sorted({*numbers} - {None})))  # type: ignore[type-var]

    def threads(environment: dict[str, Any]) -> int | None:
        return max((b["threads"] for b in _blas(environment)), default=None)

    runs = [run for found in results.runs.values() for run in found.values()]
    jobs, each = in_words(run.get("jobs") for run in runs), in_words(threads(r["environment"]) for r in runs)
    clocks = in_words(threads(clock.environment) for clock in results.clocks.values())
    sentences = [f"runs {jobs} at a time"] * bool(jobs)
    sentences += [f"BLAS threads of a run {each}"] * bool(each) + [f"of the clocks {clocks}"] * bool(clocks)
    return [f"Side by side: {', '.join(sentences)}."] if sentences else []

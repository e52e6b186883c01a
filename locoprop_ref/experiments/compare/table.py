"""The table of a comparison as text and Markdown, with notes on what is in it and what made it."""

from collections.abc import Callable, Iterable
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
        "step, the peak in a step by the allocator (which does not see LAPACK's workspace), and the count by "
        "formula of what it must hold.",
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
    about = found["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    blas = [f"{b.get('library')} {b.get('version')} {b.get('kernel')}" for b in _blas(found)]
    return [
        f"Command: {found['command']}",
        f"Data: {found['data']['name']} ({found['data']['train']} + {found['data']['test']} images, SHA-256 "
        f"{found['data']['sha256'][:12]}), network {found['shared']['layers']}, seeds "
        f"{', '.join(map(str, found['seeds']))}.",
        f"Machine: {about['machine']}, {about['cores']} cores, {about['backend']['name']} on "
        f"{about['backend']['device']}; locoprop-ref {about['locoprop-ref']}, Python {about['python']}, "
        f"{versions}; {''.join(blas[:1])}.",
        *_threads(results),
    ]


def _blas(file: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the BLAS libraries that a file names, those with a number of threads."""
    listed = file["environment"].get("blas")
    known = [b for b in listed if isinstance(b, dict)] if isinstance(listed, list) else []
    return [b for b in known if isinstance(b.get("threads"), int)]


def _threads(results: Results) -> list[str]:
    """Say how many runs were side by side, on how many threads, and on how many the clocks were."""

    def spelled(files: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> str:
        return " or ".join(str(number) for number in sorted({key(file) for file in files} - {None}))

    def threads(file: dict[str, Any]) -> int | None:
        return max((b["threads"] for b in _blas(file)), default=None)

    runs = [run for found in results.runs.values() for run in found.values()]
    jobs, each = spelled(runs, lambda run: run.get("jobs")), spelled(runs, threads)
    clocks = spelled(results.clocks.values(), threads)
    sentences = [f"runs {jobs} at a time"] * bool(jobs)
    sentences += [f"BLAS threads of a run {each}"] * bool(each) + [f"of the clocks {clocks}"] * bool(clocks)
    return [f"Side by side: {', '.join(sentences)}."] if sentences else []

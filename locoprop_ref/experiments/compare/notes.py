"""Sentences about a comparison: what its numbers are, what is missing in them, and what made them."""

from collections.abc import Iterable
from typing import Any

from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.summary import Row, classifies, loss_name
from locoprop_ref.experiments.tuned import is_fast


def notes(results: Results, rows: list[Row]) -> list[str]:
    """Return sentences on what the columns are, and on runs that are missing, diverged or without seconds."""
    count = len(results.manifest.seeds)
    over = f"median over {count} seeds, least to largest in brackets" if count > 1 else "of a single seed"
    told = [
        f"Losses are {loss_name(results)} after {_last_epoch(results)} (final) and the least of all epochs "
        f"(best): {over}.",
        *_on_epochs(results),
        *_on_accuracy(results),
        "Best test is chosen with the test set itself: it says what stopping at the right moment could give.",
        "Seconds an epoch are the mean seconds of a step, methods in turn with all cores, times the steps.",
        "State, peak and counted are bytes in multiples of the parameters': the state kept from step to "
        "step, the peak in a step by the allocator (which does not see LAPACK's workspace), and the count by "
        "formula of what it must hold.",
    ]
    for row in rows:
        for number, what in ((row.diverged, "diverged"), (row.unfinished, "not finished")):
            if number:
                told.append(f"{row.label}: {number} of {count} runs {what}.")
    sources: dict[str, list[str]] = {}
    for entry in results.manifest.entries.values():
        sources.setdefault(entry.source, []).append(entry.label)
    for source, labels in sources.items():
        told += _about(f"Settings {source}", labels if source.startswith("tuned ") else [])
    told += _about("Made in another environment than the plan", _other_environments(results))
    return told + _notes_on_seconds(results, rows)


def _last_epoch(results: Results) -> str:
    numbers = results.manifest.different_epochs
    return f"epoch {numbers[0]}" if len(numbers) == 1 else "the last epoch"


def _on_epochs(results: Results) -> list[str]:
    """Say which entries have how many epochs, where the numbers differ."""
    manifest = results.manifest
    if len(manifest.different_epochs) == 1:
        return []
    told = []
    for number in manifest.different_epochs:
        labels = [
            entry.label for name, entry in manifest.entries.items() if manifest.epochs_of(name) == number
        ]
        told.append(f"{number} for {', '.join(labels)}")
    if manifest.shared.get("schedule") == "constant":
        return [
            f"Epochs differ: {'; '.join(told)}; an epoch of a method that takes all images in every step is "
            "one step."
        ]
    if any(is_fast(name) for name in manifest.entries):
        return [
            f"Epochs differ: {'; '.join(told)}; fast settings have a schedule of their own length, the "
            f"others one of {manifest.shared.get('schedule_epochs')} epochs, and a method with fewer epochs "
            "than RMSProp that has not come to RMSProp's final train loss has no numbers to it."
        ]
    return [
        f"Epochs differ: {'; '.join(told)}; every run has the schedule of its own length, and a method with "
        "fewer epochs than RMSProp that has not come to RMSProp's final train loss has no numbers to it."
    ]


def _on_accuracy(results: Results) -> list[str]:
    if not classifies(results):
        return []
    return ["Test accuracy is that after the last epoch; a run that diverged counts as 0."]


def _about(what: str, whom: list[str]) -> list[str]:
    """Return a sentence that says what is true of whom, none where it is true of nobody."""
    return [f"{what}: {', '.join(whom)}."] if whom else []


def _notes_on_seconds(results: Results, rows: list[Row]) -> list[str]:
    clocks = {row.label: results.clocks[row.entry] for row in rows if row.entry in results.clocks}
    quiet = results.manifest.environment["cores"] / 2
    busy = [label for label, clock in clocks.items() if (clock.load or 0) > quiet]
    told = _about("Seconds measured while other work held the cores, not to be trusted", busy)
    sittings = len({tuple(clock.together) for clock in clocks.values()})
    if sittings > 1:
        told.append(f"Seconds were measured in {sittings} sittings, between which the machine may drift.")
    without = [row.label for row in rows if row.seconds_from is None]
    return told + _about("No seconds, for want of a clock file", without)


def _other_environments(results: Results) -> list[str]:
    """Return the runs and clocks whose versions, machine or array library are not the plan's."""

    def differs(there: dict[str, Any]) -> bool:
        keys = ("locoprop-ref", "python", "machine", "cores", "versions", "backend")
        return any(there.get(key) != results.manifest.environment[key] for key in keys)

    runs = {f"{name} seed {seed}": run for name, seeds in results.runs.items() for seed, run in seeds.items()}
    clocks = {f"{name} clock": clock for name, clock in results.clocks.items()}
    return [name for name, run in runs.items() if differs(run["environment"])] + [
        name for name, clock in clocks.items() if differs(clock.environment)
    ]


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
        *_side_by_side(results),
    ]


def _blas(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the BLAS libraries of an environment, those with a number of threads."""
    listed = environment.get("blas")
    known = [b for b in listed if isinstance(b, dict)] if isinstance(listed, list) else []
    return [b for b in known if isinstance(b.get("threads"), int)]


def _side_by_side(results: Results) -> list[str]:
    """Say how many runs were side by side, on how many threads, and on how many the clocks were."""

    def threads(environments: Iterable[dict[str, Any]]) -> set[int]:
        return {max(b["threads"] for b in blas) for one in environments if (blas := _blas(one))}

    runs = [run for found in results.runs.values() for run in found.values()]
    numbers = {
        "runs {} at a time": {run["jobs"] for run in runs if run.get("jobs") is not None},
        "BLAS threads of a run {}": threads(run["environment"] for run in runs),
        "of the clocks {}": threads(clock.environment for clock in results.clocks.values()),
    }
    told = [text.format(" or ".join(map(str, sorted(found)))) for text, found in numbers.items() if found]
    return [f"Side by side: {', '.join(told)}."] if told else []

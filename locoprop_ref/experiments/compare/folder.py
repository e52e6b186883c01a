"""The results folder: a manifest of the plan, a run file for every run, a clock file for every entry.

    comparison.json         command, preset, seeds, shared settings, entries, data, environment
    ENTRY-seedN.json/.npz   run file and checkpoint, see `training.run_file` and `training.checkpoint`
    ENTRY-clock.json        seconds and memory of a step, see `compare.measure`
    reconstructions.json    test images and what the first seed's networks make of them
    summary.json, .txt      the table and the claims
    summary.md              the page of the comparison: the same, with the figures
    compare.*, cost.*, ...  figures
    .lock                   held by the command that is at work here

The summary and the figures are a pure function of what stands above them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locoprop_ref import checks
from locoprop_ref.data.files import file_lock
from locoprop_ref.experiments.compare.records import (
    CheckedManifest,
    Clock,
    Manifest,
    differences,
    read_record,
    said_by,
)
from locoprop_ref.experiments.tuned import LABELS
from locoprop_ref.training.run_file import read_run

MANIFEST = "comparison.json"
LOCK = ".lock"


def run_path(folder: Path, entry: str, seed: int) -> Path:
    """Return the run file of an entry and a seed."""
    return folder / f"{entry}-seed{seed}.json"


def clock_path(folder: Path, entry: str) -> Path:
    """Return the clock file of an entry."""
    return folder / f"{entry}-clock.json"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a results folder.

    Raises:
        OSError, ValueError: see `records.read_record`.
    """
    path = folder / MANIFEST
    manifest = read_record(path, "the plan of a comparison", Manifest, CheckedManifest)
    for entry in manifest.entries:
        checks.one_of(f"{path}: contestants", entry, LABELS)
    return manifest


def read_clock(path: Path) -> Clock:
    """Read an entry's clock file.

    Raises:
        OSError, ValueError: see `records.read_record`.
    """
    clock = read_record(path, "the clock file of a method", Clock)
    if path != clock_path(path.parent, clock.entry):
        raise ValueError(f"{path} must be the clock file of its method, got {clock.entry}'s")
    return clock


@dataclass(frozen=True)
class Results:
    """What a folder holds: the manifest, the run files by entry and seed, the clock files by entry."""

    manifest: Manifest
    runs: Mapping[str, Mapping[int, dict[str, Any]]]
    clocks: Mapping[str, Clock]


def read_results(folder: Path) -> Results:
    """Read a results folder.

    Raises:
        OSError, ValueError: no results folder, or a file in it that is not what it should be.
    """
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder} must be a folder that compare wrote, got no {MANIFEST} in it")
    manifest = read_manifest(folder)
    runs: dict[str, dict[int, dict[str, Any]]] = {entry: {} for entry in manifest.entries}
    clocks = {}
    for entry in manifest.entries:
        for seed in manifest.seeds:
            if (path := run_path(folder, entry, seed)).exists():
                runs[entry][seed] = run = read_run(path)
                wanted = manifest.wanted_of_run(entry, seed)
                _refuse_another_plan(path, differences(said_by(run), wanted, of=entry))
        if (path := clock_path(folder, entry)).exists():
            clocks[entry] = clock = read_clock(path)
            wanted = manifest.wanted_of_clock(entry)
            _refuse_another_plan(path, differences(clock.config, wanted, of=entry))
    return Results(manifest, runs, clocks)


def _refuse_another_plan(path: Path, differences: list[str]) -> None:
    if differences:
        raise ValueError(f"{path} must be of the plan beside it, got another configuration: {differences[0]}")


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other commands that compare out of a folder; the lock ends with the process, however that ends.

    Raises:
        BlockingIOError: another command works in it.
        OSError: the folder cannot be made or written.
    """
    refusal = f"out must be a folder that no other compare is at work in, got {folder}"
    with file_lock(folder / LOCK, refusal):
        yield


def refuse_another_folder(folder: Path) -> None:
    """Raise FileExistsError for a folder with files in it that is no results folder."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if found and MANIFEST not in found and found != [LOCK]:
        raise FileExistsError(
            f"out must be a new folder or one that compare wrote, got {folder} with {found[0]} in it "
            "(--overwrite)"
        )

r"""Seconds and memory of a step of every entry, measured while nothing else is at work.

Runs that go side by side disturb each other's clocks, so that seconds come from here: one process measures
the seconds of all entries in turn (`compare.timing`), then the memory of one entry after the other
(`compare.memory`), and writes the clock file of an entry as soon as it knows both:

    schema       1
    contestant   the entry
    config       as in a run file, without the seed; data, environment, command likewise
    load         processes that wanted a core in the minute before; None where unknown
    together     the entries that were timed in turn with this one
    step         {warm_up, steps, interval, steps_per_epoch, seconds: [...], mean, median, low, high, blocks}
    memory       {parameters, parameter_bytes, state_bytes, peak_bytes, counted: {...}, counted_bytes}

`mean` is the time axis of figures and tables: an epoch pays for its costly steps too, and the median leaves
them out. `low` and `high` hold the middle 95 % of the steps; `blocks` are the means of the rounds.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from locoprop_ref.backend import namespace
from locoprop_ref.data import load as load_data
from locoprop_ref.experiments.compare.folder import clock_path, read_clock, read_manifest
from locoprop_ref.experiments.compare.memory import memory_of
from locoprop_ref.experiments.compare.records import SCHEMA, Clock, Manifest, Memory, differences, write_json
from locoprop_ref.experiments.compare.timing import in_turn, one_line
from locoprop_ref.experiments.pool import DIED, Command, begin_as_child, run_processes
from locoprop_ref.training.environment import environment

log = logging.getLogger(__name__)
FAILED = " could not be measured: "


def clock_all(
    folder: Path, here: Manifest, data: str, *, data_dir: str | None
) -> tuple[dict[str, float], list[str]]:
    """Measure every entry that has no clock file of these settings yet.

    Args:
        folder: the results folder, with a manifest in it.
        here: the manifest of the entries to measure.
        data: where the images are.
        data_dir: see `data.load`.

    Returns:
        mean seconds of a step by entry, and a sentence for every entry that could not be measured.
    """
    left = [entry for entry in here.entries if _clock(folder, here, entry) is None]
    reasons: dict[str, str] = {}
    while left:
        reason, told = _measured(left, folder, here.command, data, data_dir)
        reasons |= dict.fromkeys(left, reason) | told
        # what a process that died had not come to is left to another one
        left = [entry for entry in left if told and entry not in told]
    means, failures = {}, []
    for entry in here.entries:
        clock = _clock(folder, here, entry)
        if clock is None:
            failures.append(f"{entry}{FAILED}{reasons[entry]}")
            log.info(failures[-1])
        else:
            means[entry] = clock.step.mean
            log.info("%s: %.4g ms a step, %s", entry, 1e3 * clock.step.mean, _in_words(clock.memory))
    return means, failures


def _clock(folder: Path, here: Manifest, entry: str) -> Clock | None:
    """Return the clock of an entry, None where there is none of these settings."""
    path = clock_path(folder, entry)
    clock = read_clock(path) if path.exists() else None
    return clock if clock and not differences(clock.config, here.wanted_of_clock(entry)) else None


def _measured(
    entries: Sequence[str], folder: Path, command: str, data: str, data_dir: str | None
) -> tuple[str, dict[str, str]]:
    """Measure in another process; return how it ended, and what it said of entries, see `measure`."""
    arguments = [sys.executable, "-m", __name__, str(folder), data, data_dir or "", command, *entries]
    (ended,) = run_processes([Command("clock", arguments)], jobs=1)
    return ended.reason, dict(line.split(FAILED, 1) for line in ended.last_lines if FAILED in line)


def _in_words(memory: Memory) -> str:
    unit = memory.parameter_bytes
    peak = "not measured" if memory.peak_bytes is None else f"{memory.peak_bytes / unit:.3g}"
    return f"state {memory.state_bytes / unit:.3g}, peak {peak} times the parameters"


# in the process that measures --------------------------------------------------------------------------


def measure(folder: Path, data: str, data_dir: str | None, command: str, entries: Sequence[str]) -> None:
    """Write the clock files of some entries of a manifest.

    What cannot be measured is said on standard error, one line an entry. Before the memory of an entry is
    measured, the line is said that is true if the process dies of that.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    manifest = read_manifest(folder)
    configs = {entry: manifest.config(entry, data) for entry in entries}
    backend = configs[entries[0]].backend
    dataset = load_data(data, data_dir=data_dir)
    steps, failures = in_turn(configs, dataset)
    for entry, reason in failures.items():
        _say(entry, reason)
    common = {
        "load": load,
        "together": list(entries),
        "schema": SCHEMA,
        "command": command,
        "data": manifest.data,
        "environment": environment(backend, namespace(backend)),
    }
    for entry, step in steps.items():
        _say(entry, DIED)
        own = {"contestant": entry, "config": manifest.wanted_of_clock(entry), "step": step}
        try:
            found = common | own | {"memory": memory_of(configs[entry], dataset)}
            write_json(clock_path(folder, entry), found)
        except Exception as error:  # whatever it is, the other entries can be measured
            _say(entry, one_line(error))


def _say(entry: str, reason: str) -> None:
    """Say on standard error why an entry has no clock file; of one that has one it means nothing."""
    print(f"{entry}{FAILED}{reason}", file=sys.stderr, flush=True)


def main(folder: str, data: str, data_dir: str, command: str, *entries: str) -> None:
    """Measure as `measure` does; what goes wrong with all entries is one sentence."""
    begin_as_child()
    try:
        measure(Path(folder), data, data_dir or None, command, entries)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        sys.exit(one_line(error))


if __name__ == "__main__":
    main(*sys.argv[1:])

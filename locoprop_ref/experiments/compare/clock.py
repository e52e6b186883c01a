r"""Seconds and memory of a step of every entry, measured while nothing else is at work.

Runs that go side by side disturb each other's clocks, so that seconds come from here: see `compare.timing`,
all entries in turn, and `compare.memory`, each in a process of its own. The clock file of an entry:

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
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from locoprop_ref.experiments.compare.folder import clock_path, read_clock
from locoprop_ref.experiments.compare.measure import Answer, Request
from locoprop_ref.experiments.compare.plan import Comparison
from locoprop_ref.experiments.compare.records import SCHEMA, Manifest, Memory, write_json
from locoprop_ref.experiments.pool import Command, run_processes
from locoprop_ref.training.options import Config, as_json

log = logging.getLogger(__name__)


def clock_all(
    folder: Path, plan: Comparison, data: str, manifest: Manifest, *, data_dir: str | None
) -> tuple[dict[str, float], list[str]]:
    """Measure every entry that has no clock file of these settings yet.

    Args:
        folder: the results folder.
        plan: the entries.
        data: where the images are.
        manifest: of the plan.
        data_dir: see `data.load`.

    Returns:
        mean seconds of a step by entry, and a sentence for every entry that could not be measured.
    """
    configs = {name: plan.config(name, plan.seeds[0], data) for name in plan.entries}
    recorded = {name: _recorded(config, manifest) for name, config in configs.items()}
    due = {
        name: config
        for name, config in configs.items()
        if not (path := clock_path(folder, name)).exists() or read_clock(path).config != recorded[name]
    }
    common = {
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "together": list(due),
        "schema": SCHEMA,
        "command": manifest.command,
        "data": manifest.data,
    }
    measured = _measure(due, data_dir) if due else {}
    means, failures = {}, []
    for name in configs:
        found, path = measured.get(name), clock_path(folder, name)
        if isinstance(found, str):
            failures.append(f"{name} could not be measured: {found}")
            log.info(failures[-1])
            continue
        if found is not None:
            write_json(path, common | {"contestant": name, "config": recorded[name]} | found)
        clock = read_clock(path)
        means[name] = clock.step.mean
        log.info("%s: %.4g ms a step, %s", name, 1e3 * means[name], _in_words(clock.memory))
    return means, failures


def _recorded(config: Config, manifest: Manifest) -> dict[str, Any]:
    """Return the settings that a clock file holds: what changes neither seconds nor memory is left out."""
    values = as_json(config) | {"data": manifest.data.name}
    return {name: v for name, v in values.items() if name not in ("seed", "epochs", "schedule_epochs")}


def _in_words(memory: Memory) -> str:
    unit = memory.parameter_bytes
    peak = "not measured" if memory.peak_bytes is None else f"{memory.peak_bytes / unit:.3g}"
    return f"state {memory.state_bytes / unit:.3g}, peak {peak} times the parameters"


def _measure(configs: Mapping[str, Config], data_dir: str | None) -> dict[str, dict[str, Any] | str]:
    """Return "step", "memory" and "environment" of every entry, or why it could not be measured."""
    values = {name: as_json(config) for name, config in configs.items()}
    requests = {"": Request("step", values, data_dir)}
    requests |= {name: Request("memory", {name: values[name]}, data_dir) for name in configs}
    with TemporaryDirectory() as folder:
        answers = _answers(requests, Path(folder))
    timed = answers[""]
    found: dict[str, dict[str, Any] | str] = {}
    for name in configs:
        wrong = [part.failures[name] for part in (timed, answers[name]) if name in part.failures]
        found[name] = (
            wrong[0]
            if wrong
            else {
                "step": timed.found[name],
                "memory": answers[name].found[name],
                "environment": timed.environment,
            }
        )
    return found


def _answers(requests: Mapping[str, Request], folder: Path) -> dict[str, Answer]:
    """Measure in one process after the other; requests and answers are files of a folder."""
    commands, answers = [], {}
    for number, (name, request) in enumerate(requests.items()):
        paths = [str(folder / f"{number}-{end}.json") for end in ("request", "answer")]
        Path(paths[0]).write_bytes(msgspec.json.encode(request))
        module = "locoprop_ref.experiments.compare.measure"
        commands.append(Command(name, [sys.executable, "-m", module, *paths]))
    for finished in run_processes(commands, jobs=1):
        name, path = finished.command.name, Path(finished.command.arguments[-1])
        if finished.return_code == 0:
            answers[name] = msgspec.json.decode(path.read_bytes(), type=Answer)
        else:
            answers[name] = Answer(failures=dict.fromkeys(requests[name].configs, finished.reason))
    return answers

r"""Seconds and memory of a step of every contestant, from nothing else at work.

Runs that go side by side disturb each other's clocks, so that seconds come from here: see `compare.timing`,
all contestants in turn, and `compare.memory`, each in a process of its own. The clock file of a contestant:

    schema       1
    contestant   name
    config       as in a run file, without the seed; data, environment, command likewise
    load         processes that wanted a core in the minute before; None where unknown
    together     the contestants that were timed in turn with this one
    step         {warm_up, steps, interval, steps_per_epoch, seconds: [...], mean, median, low, high, blocks}
    memory       {parameters, parameter_bytes, state_bytes, peak_bytes, counted: {...}, counted_bytes}

`mean` is the time axis of figures and tables: an epoch pays for its costly steps too, and the median leaves
them out. `low` and `high` hold the middle 95 % of the steps; `blocks` are the means of the rounds.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from locoprop_ref.backend import namespace
from locoprop_ref.data import load
from locoprop_ref.experiments.compare.folder import SCHEMA, clock_path, read_clock, write_json
from locoprop_ref.experiments.compare.memory import (
    array_bytes,
    counted_numbers,
    parameter_numbers,
    peak_bytes,
)
from locoprop_ref.experiments.compare.runs import Task
from locoprop_ref.experiments.compare.timing import Training, in_turn, interval
from locoprop_ref.experiments.compare.workers import in_workers
from locoprop_ref.training import examples
from locoprop_ref.training.environment import environment
from locoprop_ref.training.options import Config, as_json


def clock_all(
    tasks: Mapping[str, Task],
    manifest: Mapping[str, Any],
    *,
    data_dir: str | None,
    say: Callable[[str], None],
) -> tuple[dict[str, float], list[str]]:
    """Measure every contestant that has no clock file of these settings yet.

    Args:
        tasks: a run of every contestant.
        manifest: of the comparison.
        data_dir: see `data.load`.
        say: called with a line a contestant.

    Returns:
        mean seconds of a step by contestant, and a sentence for every contestant that could not be measured.
    """
    due = {name: task.config for name, task in tasks.items() if not _is_there(task, manifest)}
    common = {"load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None, "together": list(due)}
    common |= {"schema": SCHEMA, "command": manifest["command"], "data": manifest["data"]}
    measured = _measure(due, data_dir) if due else {}
    means, failures = {}, []
    for name, task in tasks.items():
        path = clock_path(task.out.parent, name)
        if isinstance(measured.get(name), Exception):
            failures.append(f"{name} could not be measured: {measured[name]}")
            say(failures[-1])
            continue
        if name in measured:
            about = {"contestant": name, "config": recorded(task.config, manifest)}
            write_json(path, common | about | measured[name])
        found = read_clock(path)
        means[name] = found["step"]["mean"]
        say(f"{name}: {1e3 * means[name]:.4g} ms a step, {_spell_memory(found['memory'])}")
    return means, failures


def _is_there(task: Task, manifest: Mapping[str, Any]) -> bool:
    path = clock_path(task.out.parent, task.contestant)
    return path.exists() and read_clock(path)["config"] == recorded(task.config, manifest)


def recorded(config: Config, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a clock file holds: what changes neither seconds nor memory is left out."""
    values = as_json(config) | {"data": manifest["data"]["name"]}
    return {
        name: value for name, value in values.items() if name not in ("seed", "epochs", "schedule_epochs")
    }


def _spell_memory(memory: Mapping[str, Any]) -> str:
    unit = memory["parameter_bytes"]
    peak = "not measured" if memory["peak_bytes"] is None else f"{memory['peak_bytes'] / unit:.3g}"
    return f"state {memory['state_bytes'] / unit:.3g}, peak {peak} times the parameters"


def _measure(configs: Mapping[str, Config], data_dir: str | None) -> dict[str, Any]:
    """Return "step", "memory" and "environment" of every contestant, or what went wrong with it."""
    calls: dict[str, Any] = {"": partial(_timed, configs, data_dir)}
    calls |= {name: partial(_remembered, config, data_dir) for name, config in configs.items()}
    found: dict[str, Any] = {}
    for name, call in calls.items():
        in_workers({name: call}, 1, ended=found.__setitem__)  # one process after the other
    timed = found.pop("")
    if isinstance(timed, Exception):
        return dict.fromkeys(configs, timed)
    steps, about = timed
    parts = {name: (steps[name], found[name]) for name in configs}
    wrong = {name: [part for part in pair if isinstance(part, Exception)] for name, pair in parts.items()}
    return {
        name: wrong[name][0] if wrong[name] else {"step": step, "memory": memory, "environment": about}
        for name, (step, memory) in parts.items()
    }


def _timed(configs: Mapping[str, Config], data_dir: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    first = next(iter(configs.values()))
    steps = in_turn(configs, load(first.data, data_dir=data_dir))
    return steps, environment(first.backend, namespace(first.backend))


def _remembered(config: Config, data_dir: str | None) -> dict[str, Any]:
    """Return "memory" of a clock file: of a whole interval of steps, after the first."""
    xp = namespace(config.backend)
    data = examples(load(config.data, data_dir=data_dir), config, xp)
    training = Training(config, data, xp)
    training.step()  # the first step imports SciPy, megabytes that are not the step's
    state_bytes = array_bytes(training.state)
    del training
    peak = peak_bytes(lambda: Training(config, data, xp).step, 1, interval(config) + 1, xp)
    size, counted = np.dtype(config.dtype).itemsize, counted_numbers(config)
    return {
        "parameters": parameter_numbers(config),
        "parameter_bytes": size * parameter_numbers(config),
        "state_bytes": state_bytes,
        "peak_bytes": peak,
        "counted": counted,
        "counted_bytes": size * sum(counted.values()),
    }

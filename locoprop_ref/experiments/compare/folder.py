"""The results folder: a manifest of the plan, a run file for every run, a clock file for every contestant.

    comparison.json              command, preset, seeds, shared settings, contestants, data, environment
    CONTESTANT-seedN.json/.npz   run file and checkpoint, see `run_file` and `checkpoint`
    CONTESTANT-clock.json        seconds and memory of a step, see `compare.clock`
    reconstructions.json         test images and what the first seed's networks make of them
    summary.json, .md, .txt      the table and the claims
    compare.*, cost.*, ...       figures
    .lock                        held by the command that is at work here

The summary and the figures are a pure function of what stands above them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.data import Dataset, load
from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.compare.agreement import clock_differences, differences, run_differences
from locoprop_ref.experiments.compare.plan import Comparison
from locoprop_ref.experiments.tuned import LABELS, provenance
from locoprop_ref.training.environment import environment
from locoprop_ref.training.run_file import read_run

SCHEMA = 1
MANIFEST = "comparison.json"
# what a file must hold to be one of ours: a key, dots between levels, and the kind of its value
Form = Mapping[str, type | tuple[type, ...]]
NUMBER = (int, float)
PLAN: Form = {
    "command": str, "seeds": list, "contestants": dict, "shared.epochs": int, "shared.batch_size": int,
    "shared.layers": str, "data.name": str, "data.sha256": str, "data.train": int, "data.test": int,
    "environment.locoprop-ref": str, "environment.python": str, "environment.machine": str,
    "environment.cores": int, "environment.versions": dict, "environment.backend.name": str,
    "environment.backend.device": str, "environment.blas": list,
}  # fmt: skip
CONTESTANT: Form = {"label": str, "settings": dict}
CLOCK: Form = {
    "contestant": str, "config": dict, "environment": dict, "step.mean": NUMBER, "step.blocks": list,
    "memory.parameter_bytes": NUMBER, "memory.state_bytes": NUMBER, "memory.counted_bytes": NUMBER,
}  # fmt: skip


def run_path(folder: Path, contestant: str, seed: int) -> Path:
    """Return the run file of a contestant and seed."""
    return folder / f"{contestant}-seed{seed}.json"


def clock_path(folder: Path, contestant: str) -> Path:
    """Return the clock file of a contestant."""
    return folder / f"{contestant}-clock.json"


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path, what: str, form: Form) -> dict[str, Any]:
    """Read a JSON object of our schema and of a form.

    Raises:
        OSError, ValueError: one sentence that says what is wrong with the file.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} must be {what}, got nothing by that name") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} must be {what} in JSON, got text that is not JSON ({reason})") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"{path} must be {what} of schema {SCHEMA}, got another file")
    _check_form(path, what, value, form)
    return value


def _check_form(path: Path, what: str, value: Any, form: Form) -> None:
    for key, kind in form.items():
        inner = value
        for part in key.split("."):
            inner = inner.get(part) if isinstance(inner, dict) else None
        if not isinstance(inner, kind):
            raise ValueError(f"{path} must be {what}, but its {key} is {str(inner)[:40]!r}")


def read_plan(folder: Path) -> dict[str, Any]:
    """Read the manifest of a results folder.

    Raises:
        OSError, ValueError: see `read_json`.
    """
    path, what = folder / MANIFEST, "the plan of a comparison"
    plan = read_json(path, what, PLAN)
    if not plan["seeds"] or not all(isinstance(seed, int) for seed in plan["seeds"]):
        raise ValueError(f"{path} must be {what}, but its seeds are {str(plan['seeds'])[:40]}")
    for name, contestant in plan["contestants"].items():
        checks.one_of(f"{path}: contestants", name, LABELS)
        _check_form(path, what, contestant, CONTESTANT)
    return plan


def read_clock(path: Path) -> dict[str, Any]:
    """Read a contestant's clock file.

    Raises:
        OSError, ValueError: see `read_json`.
    """
    clock = read_json(path, "the clock file of a contestant", CLOCK)
    if path != clock_path(path.parent, clock["contestant"]):
        raise ValueError(f"{path} must be the clock file of its contestant, got {clock['contestant']}'s")
    if not clock["step"]["blocks"] or not all(isinstance(block, NUMBER) for block in clock["step"]["blocks"]):
        raise ValueError(f"{path} must hold the seconds of at least one block, got {clock['step']['blocks']}")
    return clock


# the plan ---------------------------------------------------------------------------------------------


def manifest(plan: Comparison, data: Dataset, xp: Any) -> dict[str, Any]:
    """Return the plan as the manifest's content."""
    contestants = {
        name: {
            "label": LABELS[name],
            "tuned": plan.is_tuned(name),
            "source": plan.source(name),
            "settings": plan.settings(name),
            "study": (provenance(name, plan.problem) or {}).get("study") if plan.is_tuned(name) else None,
        }
        for name in plan.contestants
    }
    return {
        "schema": SCHEMA,
        "kind": "comparison",
        "command": plan.command(),
        "preset": plan.preset,
        "seeds": list(plan.seeds),
        "shared": plan.in_common(),
        "contestants": contestants,
        "data": {
            "name": data.name,
            "sha256": data.sha256,
            "train": len(data.x_train),
            "test": len(data.x_test),
        },
        "environment": environment(plan.shared.get("backend", "numpy"), xp),
    }


def refuse_another_plan(folder: Path, plan: Comparison) -> None:
    """Raise ValueError where the folder holds another plan, before data are made or loaded for this one."""
    if (folder / MANIFEST).exists():
        settings = {name: {"settings": plan.settings(name)} for name in plan.contestants}
        here = {"shared": plan.in_common(), "contestants": settings}
        _refuse(folder, differences(_as_far_as_run(folder, read_plan(folder)), here))


def join(folder: Path, here: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest that a folder gets: the plan's, or the folder's own with the plan's runs added.

    Raises:
        ValueError: the folder holds runs of another configuration; the sentence names the differences.
    """
    path = folder / MANIFEST
    joined = here
    if path.exists():
        there = read_plan(folder)
        _refuse(folder, differences(_as_far_as_run(folder, there), here))
        known = there["contestants"] | here["contestants"]
        order = [name for name in LABELS if name in known]
        joined = there | {
            "shared": here["shared"],
            "seeds": sorted({*there["seeds"], *here["seeds"]}),
            "contestants": {name: known[name] for name in order},
            "command": _both_commands(there, here),
        }
    for contestant in here["contestants"]:
        for seed in here["seeds"]:
            if run_path(folder, contestant, seed).exists():
                run = read_run(run_path(folder, contestant, seed))
                _refuse(folder, run_differences(run, here, contestant, seed))
    return joined


def _as_far_as_run(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with the epochs of its longest run: what was planned beyond it may be given up."""
    paths = (run_path(folder, name, seed) for name in plan["contestants"] for seed in plan["seeds"])
    epochs = max((read_run(path)["epochs"][-1]["epoch"] for path in paths if path.exists()), default=0)
    return plan | {"shared": plan["shared"] | {"epochs": epochs}}


def _both_commands(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return what makes a folder: one command, where it makes all of it, else those before and this one."""
    runs = [{(name, seed) for name in one["contestants"] for seed in one["seeds"]} for one in (there, here)]
    if runs[1] >= runs[0]:
        return here["command"]
    if runs[0] >= runs[1] and there["shared"]["epochs"] == here["shared"]["epochs"]:
        return there["command"]
    before = there["command"].split(" && ")
    return " && ".join([*before, *([] if here["command"] in before else [here["command"]])])


def _refuse(folder: Path, found: list[str]) -> None:
    if found:
        more = f" and {len(found) - 6} more" if len(found) > 6 else ""
        raise ValueError(f"{folder} holds runs of another configuration: {'; '.join(found[:6])}{more}")


# the data ---------------------------------------------------------------------------------------------


def data_of(plan: Comparison, folder: Path, data_dir: str | None) -> tuple[str, Dataset]:
    """Return what `config.data` says for the runs, and the data set; a part of one is kept in the folder.

    Raises:
        OSError, ValueError: data that cannot be had, or a folder that cannot be written.
    """
    data = str(plan.shared["data"])
    if plan.images is None:
        return data, load(data, data_dir=data_dir)
    path = folder / f"{data}-{plan.images[0]}.npz"
    if not path.exists():
        whole = load(data, data_dir=data_dir)
        train, test = whole.x_train[: plan.images[0]], whole.x_test[: plan.images[1]]
        write_atomically(path, lambda file: np.savez(file, x_train=train, x_test=test))
    return str(path), load(path)


# the results ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """What a folder holds: the manifest, the run files by contestant and seed, the clock files."""

    manifest: dict[str, Any]
    runs: dict[str, dict[int, dict[str, Any]]]
    clocks: dict[str, dict[str, Any]]


def read_results(folder: Path) -> Results:
    """Read a results folder.

    Raises:
        OSError, ValueError: no results folder, or a file in it that is not what it should be.
    """
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"{folder} must be a folder that compare wrote, got no {MANIFEST} in it")
    found = read_plan(folder)
    runs = {
        name: {
            seed: _of_the_plan(path, read_run(path), partial(run_differences, seed=seed), found, name)
            for seed in found["seeds"]
            if (path := run_path(folder, name, seed)).exists()
        }
        for name in found["contestants"]
    }
    clocks = {
        name: _of_the_plan(path, read_clock(path), clock_differences, found, name)
        for name in found["contestants"]
        if (path := clock_path(folder, name)).exists()
    }
    return Results(found, runs, clocks)


def _of_the_plan(
    path: Path, content: dict[str, Any], differences: Callable[..., list[str]], plan: Any, contestant: str
) -> dict[str, Any]:
    found = differences(content, here=plan, contestant=contestant)
    if found:
        raise ValueError(f"{path} must be of the plan beside it, got another configuration: {found[0]}")
    return content

"""The result of a study as JSON, in the form that `locoprop_ref.experiments.tuned` documents and reads."""

import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import locoprop_ref
from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.tune.finals import alike, further
from locoprop_ref.experiments.tune.problem import PROBLEMS, whole_problem
from locoprop_ref.experiments.tune.space import edges, search_space, settings
from locoprop_ref.experiments.tune.study import PRUNER, STARTUP_TRIALS, Task, candidate_of, standing
from locoprop_ref.training.environment import LIBRARIES, version

SCHEMA = 1


def result(task: Task, study: Any) -> dict[str, Any]:
    """Return a study as JSON values: the best settings, the problem, and where they come from."""
    complete, best = _complete(study), best_trial(study)
    untuned = [t.value for t in complete if t.user_attrs.get("untuned")]
    now = standing(study)
    record = study.user_attrs["problem"]
    return {
        "schema": SCHEMA,
        "contestant": task.contestant,
        "settings": settings(best.params),
        "problem": {name: value for name, value in record.items() if not name.startswith("range of ")},
        "study": {
            "trials": now.finished,
            "complete": now.complete,
            "pruned": now.pruned,
            "failed": now.failed,
            "diverged": sum("diverged" in t.user_attrs for t in complete),
            "sampler": {"name": "TPESampler", "n_startup_trials": STARTUP_TRIALS},
            "pruner": {"name": "SuccessiveHalvingPruner", **PRUNER},
            "seed": task.seed,
            "loss": best.value,
            "untuned_loss": untuned[0] if untuned else None,
            "ranges": {r.name: r.record for r in task.space},
            "edges": edges(best.params, task.space),
            "versions": _versions(),
            "command": command(task, now.finished, final=False),
        },
    }


def with_final(record: dict[str, Any], reduced: Task, rounds: Sequence[tuple[Task, Any]]) -> dict[str, Any]:
    """Return the record of a study with what its final chose, and every candidate's held-out loss.

    Args:
        record: from `result`.
        reduced: what the record is of.
        rounds: the final's, in their order, with their studies.
    """
    candidates = tried(rounds)
    chosen, best = chosen_candidate(rounds)
    known = rounds[0][1].user_attrs["problem"]
    final = {
        "problem": {k: v for k, v in known.items() if not k.startswith(("range of ", "candidate "))},
        "candidates": candidates,
        "chosen": chosen,
        "loss": best.value,
    }
    # the edges are those of the best settings of the search: the defaults have none
    searched = alike(reduced.contestant, candidates[chosen]["settings"], candidates[0]["settings"])
    about = {
        "edges": record["study"]["edges"] if searched else {},
        "command": command(reduced, record["study"]["trials"], final=True),
    }
    record = record | {"study": record["study"] | about}
    return record | {"settings": candidates[chosen]["settings"], "final": final}


def tried(rounds: Sequence[tuple[Task, Any]]) -> list[dict[str, Any]]:
    """Return {settings, loss} of every candidate of a final, counted through all its rounds."""
    found: list[dict[str, Any]] = []
    for task, study in rounds:
        losses = {candidate_of(t): t.value for t in _complete(study)}
        found += [
            {"settings": dict(each), "loss": losses[number]} for number, each in enumerate(task.candidates)
        ]
    return found


def chosen_candidate(rounds: Sequence[tuple[Task, Any]]) -> tuple[int, Any]:
    """Return the best candidate's number in `tried`, and its trial; equal losses go to the earlier round."""
    found, before = [], 0
    for task, study in rounds:
        best = best_trial(study)
        found.append((before + (candidate_of(best) or 0), best))
        before += len(task.candidates)
    return min(found, key=lambda one: _order(one[1]))


def next_candidates(rounds: Sequence[tuple[Task, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the settings of a final's next round, none where it is at its end or all have diverged."""
    number, best = chosen_candidate(rounds)
    if "diverged" in best.user_attrs:
        return ()
    settings = [each["settings"] for each in tried(rounds)]
    return further(rounds[0][0].contestant, settings[number], settings)


def best_trial(study: Any) -> Any:
    """Return the complete trial with the least held-out loss; equal losses go to the earlier one.

    A diverged trial is never the best, unless all diverged.
    """
    return min(_complete(study), key=lambda t: (*_order(t), t.number))


def _order(trial: Any) -> tuple[float, bool]:
    return trial.value, "diverged" in trial.user_attrs


def _complete(study: Any) -> list[Any]:
    return [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]


def command(task: Task, trials: int, *, final: bool) -> str:
    """Return the command that makes such a study anew; no storage, no paths."""
    usual, here = PROBLEMS[task.problem.name], task.problem
    words = ["locoprop-ref", "tune", task.contestant, "--problem", here.name]
    words += ["--trials", str(trials), "--seed", str(task.seed)]
    if whole_problem(here) is not None and not final:
        words.append("--no-final")
    for f in fields(here):
        value = getattr(here, f.name)
        if value != getattr(usual, f.name):
            words += ["--" + f.name.replace("_", "-"), Path(value).name if f.name == "data" else str(value)]
    for r, table in zip(task.space, search_space(task.contestant), strict=True):
        if r != table:
            low, high = (r.choices[0], r.choices[-1]) if r.choices else (r.low, r.high)
            words += ["--range", f"{r.name.replace(' ', '')}={low}:{high}"]
    return shlex.join(words)


def write_result(folder: Path, record: dict[str, Any]) -> Path:
    """Write `FOLDER/PROBLEM/CONTESTANT.json` atomically; return its path.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / record["problem"]["name"] / f"{record['contestant']}.json"
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _versions() -> dict[str, str | None]:
    here = {"locoprop-ref": locoprop_ref.__version__, "python": platform.python_version()}
    return here | {name: version(name) for name in (*LIBRARIES, "optuna")}

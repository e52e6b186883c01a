"""The result of a study as a record, in the form that `locoprop_ref.experiments.tuned` documents."""

import json
import platform
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

import locoprop_ref
from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.tune.final import Played, differ_in_rate_alone
from locoprop_ref.experiments.tune.problem import PROBLEMS, whole_problem
from locoprop_ref.experiments.tune.space import edges, search_space, settings
from locoprop_ref.experiments.tune.study import PRUNER, STARTUP_TRIALS, Search, Study
from locoprop_ref.experiments.tuned.record import Candidate, Final, StudyRecord, Tuned
from locoprop_ref.training.environment import LIBRARIES, version


def result(study: Study, sha256: str) -> Tuned:
    """Return the record of a study: the best settings, the problem (with its data's hash), and the search."""
    search, best, complete = study.search, study.best(), study.trials("COMPLETE")
    untuned = [t.value for t in complete if "untuned" in t.user_attrs]
    finished = len(study.trials("COMPLETE", "PRUNED"))
    about = StudyRecord(
        trials=finished,
        complete=len(complete),
        pruned=finished - len(complete),
        failed=len(study.trials("FAIL")),
        diverged=sum("diverged" in t.user_attrs for t in complete),
        sampler={"name": "TPESampler", "n_startup_trials": STARTUP_TRIALS},
        pruner={"name": "SuccessiveHalvingPruner", **PRUNER},
        seed=search.seed,
        loss=best.value,
        untuned_loss=untuned[0] if untuned else None,
        ranges={r.name: r.record for r in search.space},
        edges=edges(best.params, search.space),
        versions=_versions(),
        command=command(search, finished, final=False),
    )
    return Tuned(1, search.method, settings(best.params), search.problem.record(sha256), about)


def with_final(record: Tuned, search: Search, problem: dict[str, Any], played: Played) -> Tuned:
    """Return the record of a study with what its final chose, and the held-out loss of every candidate.

    Args:
        record: from `result`.
        search: of the study.
        problem: the record of the final's problem.
        played: the final, at its end.
    """
    winner, outcome = played.tried[played.chosen]
    # the edges are those of the best settings of the search; the untuned ones have none
    searched = differ_in_rate_alone(search.method, winner, played.tried[0][0])
    study = msgspec.structs.replace(
        record.study,
        edges=record.study.edges if searched else {},
        command=command(search, record.study.trials, final=True),
    )
    tried = [Candidate(settings, outcome.loss) for settings, outcome in played.tried]
    final = Final(problem, tried, played.chosen, outcome.loss)
    return msgspec.structs.replace(record, settings=winner, study=study, final=final)


def command(search: Search, trials: int, *, final: bool) -> str:
    """Return the command that makes such a study anew, without its storage and without paths."""
    usual, here = PROBLEMS[search.problem.name], search.problem
    words = ["locoprop-ref", "tune", search.method, "--problem", here.name]
    words += ["--trials", str(trials), "--seed", str(search.seed)]
    if whole_problem(here) is not None and not final:
        words.append("--no-final")
    for f in fields(here):
        value = getattr(here, f.name)
        if value != getattr(usual, f.name):
            words += ["--" + f.name.replace("_", "-"), Path(value).name if f.name == "data" else str(value)]
    for r, table in zip(search.space, search_space(search.method), strict=True):
        if r != table:
            low, high = (r.choices[0], r.choices[-1]) if r.choices else (r.low, r.high)
            words += ["--range", f"{r.name.replace(' ', '')}={low}:{high}"]
    return shlex.join(words)


def write_result(folder: Path, record: Tuned) -> Path:
    """Write `FOLDER/PROBLEM/METHOD.json` atomically; return its path.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / str(record.problem["name"]) / f"{record.contestant}.json"
    text = json.dumps(msgspec.to_builtins(record), indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _versions() -> dict[str, str | None]:
    here = {"locoprop-ref": locoprop_ref.__version__, "python": platform.python_version()}
    return here | {name: version(name) for name in (*LIBRARIES, "optuna")}

"""The result of a study as a record, in the form that `locoprop_ref.experiments.tuned` documents."""

import json
import platform
import shlex
from dataclasses import fields
from pathlib import Path

import msgspec

import locoprop_ref
from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.tune.budget import SHARE
from locoprop_ref.experiments.tune.final import differ_in_rate_alone
from locoprop_ref.experiments.tune.problem import PROBLEMS, whole_problem
from locoprop_ref.experiments.tune.space import edges, search_space, settings
from locoprop_ref.experiments.tune.study import PRUNER, STARTUP_TRIALS, Search, Study
from locoprop_ref.experiments.tuned import FAST
from locoprop_ref.experiments.tuned.record import Final, StudyRecord, Tuned, read_record
from locoprop_ref.training.environment import LIBRARIES, version


def result(study: Study, sha256: str, final: Final | None = None) -> Tuned:
    """Return the record of a study: its settings, the problem, the search, and the final if there was one.

    Args:
        study: with the trials that it needs.
        sha256: hash of the problem's data.
        final: what chose the settings; without one they are those of the best trial.
    """
    search, best, complete = study.search, study.best(), study.trials("COMPLETE")
    found = settings(best.params)
    chosen = final.candidates[final.chosen].settings if final else found
    untuned = [t.values[0] for t in complete if "untuned" in t.user_attrs]
    finished = len(study.trials("COMPLETE", "PRUNED"))
    about = StudyRecord(
        trials=finished,
        complete=len(complete),
        pruned=finished - len(complete),
        failed=len(study.trials("FAIL")),
        diverged=sum("diverged" in t.user_attrs for t in complete),
        sampler={"name": "TPESampler", "n_startup_trials": STARTUP_TRIALS},
        # Optuna has no pruning where a study has two objectives
        pruner={"name": "SuccessiveHalvingPruner", **PRUNER} if search.budget is None else {},
        seed=search.seed,
        loss=best.values[0],
        untuned_loss=untuned[0] if untuned else None,
        ranges={r.name: r.record for r in search.space},
        # a final that was won by the untuned settings, which were not searched, leaves no edges
        edges=edges(best.params, search.space) if differ_in_rate_alone(search.method, chosen, found) else {},
        versions=_versions(),
        command=command(search, finished, final=final is not None),
        space=msgspec.UNSET if search.space_name == "narrow" else search.space_name,
    )
    problem = search.problem.record(sha256)
    return Tuned(1, search.method, chosen, problem, about, final if final else msgspec.UNSET)


def command(search: Search, trials: int, *, final: bool, final_by: str = "both") -> str:
    """Return the command that makes such a study anew, without its storage and without paths."""
    usual, here = PROBLEMS[search.problem.name].for_method(search.method), search.problem
    usual_space = search_space(search.method, problem=here.name, space=search.space_name)
    words = ["locoprop-ref", "tune", search.method, "--problem", here.name]
    words += ["--trials", str(trials), "--seed", str(search.seed)]
    if search.space_name != "narrow":
        words += ["--space", search.space_name]
    if whole_problem(here) is not None and not final:
        words.append("--no-final")
    for f in fields(here):
        value = getattr(here, f.name)
        if value != getattr(usual, f.name):
            words += ["--" + f.name.replace("_", "-"), Path(value).name if f.name == "data" else str(value)]
    if search.budget is not None:
        words += ["--fast", "--target", str(search.budget.target), "--budget", str(search.budget.seconds)]
        words += ["--final-by", final_by] if final_by != "both" else []
        usual_space = (*usual_space, SHARE)
    for r, table in zip(search.space, usual_space, strict=True):
        if r != table:
            words += ["--range", f"{r.name.replace(' ', '')}={r.record[0]}:{r.record[-1]}"]
    return shlex.join(words)


def result_path(folder: Path, problem: str, method: str, *, fast: bool = False) -> Path:
    """Return the file of a result: the settings of the least loss, or those of the fewest seconds."""
    return folder / (problem + FAST * fast) / f"{method}.json"


def refuse_another_file(path: Path) -> None:
    """Raise FileExistsError where a result would replace a file that is none."""
    if path.exists():
        try:
            read_record(path)
        except (OSError, ValueError):
            raise FileExistsError(
                f"out must be a folder for results of tune, got another file there, {path} (--overwrite)"
            ) from None


def write_result(folder: Path, record: Tuned) -> Path:
    """Write `FOLDER/PROBLEM/METHOD.json` atomically, or `FOLDER/PROBLEM-fast/...`; return its path.

    Raises:
        OSError: it cannot be written.
    """
    fast = record.frontier is not msgspec.UNSET
    path = result_path(folder, str(record.problem["name"]), record.contestant, fast=fast)
    text = json.dumps(msgspec.to_builtins(record), indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _versions() -> dict[str, str | None]:
    here = {"locoprop-ref": locoprop_ref.__version__, "python": platform.python_version()}
    return here | {name: version(name) for name in (*LIBRARIES, "optuna")}

"""`tune`: studies in a storage that several processes share, then their finals, then the results."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.data.files import user_path
from locoprop_ref.experiments.pool import MOST_JOBS
from locoprop_ref.experiments.tune import space as spaces
from locoprop_ref.experiments.tune.budget import PENALTY, SHARE, Budget
from locoprop_ref.experiments.tune.finals import Finals
from locoprop_ref.experiments.tune.frontier import describe, fast_result, reached
from locoprop_ref.experiments.tune.hours import estimate, in_words
from locoprop_ref.experiments.tune.problem import PROBLEMS, Problem, tuning_data
from locoprop_ref.experiments.tune.result import refuse_another_file, result, result_path, write_result
from locoprop_ref.experiments.tune.space import search_space
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.study import Search, Study
from locoprop_ref.experiments.tune.target import final_budget, trial_budget
from locoprop_ref.experiments.tune.timed_finals import By, TimedFinals
from locoprop_ref.experiments.tune.trials import Work
from locoprop_ref.experiments.tune.workers import run_trials
from locoprop_ref.experiments.tuned import ALL, FAST, FASTEST, members, usual_entries
from locoprop_ref.experiments.tuned.record import Final, Tuned
from locoprop_ref.training import examples

log = logging.getLogger(__name__)

FINALS_BY = ("both", "loss", "seconds")


def tune(
    methods: Sequence[str] = (),
    on: Problem = PROBLEMS["mnist"],
    *,
    final: Problem | None = None,
    trials: int | None = None,
    seed: int = 0,
    storage: str | None = None,
    jobs: int = 1,
    out: str | os.PathLike[str] = "tuning",
    data_dir: str | os.PathLike[str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    space: str = "narrow",
    fast: bool = False,
    target: float | None = None,
    budget: float | None = None,
    final_by: str = "both",
    heartbeat: int = 10,
    grace: int = 60,
    progress: bool = True,
    overwrite: bool = False,
    plan: bool = False,
) -> dict[str, dict[str, Any]]:
    """Search the settings of methods on a problem; write the best as `OUT/PROBLEM/METHOD.json`.

    A study is resumed by the same call, and extended by one with more trials. With one job the same seed
    gives the same study, resumed or not. With several jobs and at least as many unfinished methods, every
    study has one worker and is the same too, apart from what another number of BLAS threads does to the last
    bits. What the user should know is logged.

    Args:
        methods: names from `tuned.ALL`; none means all that the problem usually has, with `fast` the seven of
            `tuned.FASTEST`.
        on: the problem, as `reduced_problem("mnist")` makes it.
        final: the whole problem, as `whole_problem` makes it, for the final; default none.
        trials: a study is done with so many complete or pruned trials, default 30, with `fast` 60 of the
            variants of LocoProp, whose wide space is the largest; failed ones do not count. Commands
            that share a storage share the trials, and wait for each other's last ones.
        seed: of the network, the batches and the search.
        storage: database URL; default sqlite:///tuning/PROBLEM.db. For several machines, a server's.
        jobs: trials side by side, each on its share of the cores.
        out: folder of the results. Its folder final holds the data and the runs of finals, for every command
            that uses it.
        data_dir: folder of the data set's files, see `data.load`.
        ranges: wider or narrower ones, {name: (low, high)}, for every method in `methods`. A study in a
            storage keeps its ranges: name another storage or seed.
        space: "narrow" (default), or "wide": K, the local optimizer, its state and η of LocoProp too, see
            `wide`. Studies of the two stand beside each other in a storage.
        fast: search with two objectives, the loss and the seconds to a target loss, see `budget`; the results
            are `OUT/PROBLEM-fast/METHOD.json`. Seconds are those of this machine: nothing else should run.
        target: the loss of a trial with `fast`; default that of RMSProp's stored settings, which is measured
            once and kept in the folder of the results.
        budget: the seconds of a trial's steps with `fast`; default twice those of that run.
        final_by: with `fast`, "both" (default): a final of the best settings by loss, and one of the best by
            seconds; "loss": that one alone; "seconds": that one, and the other only where no run of it comes
            to the target.
        heartbeat: seconds between two signs of life of a running trial.
        grace: seconds without a sign of life after which a trial is considered dead.
        progress: show a progress bar, where standard error is a terminal.
        overwrite: whether files that are no results of `tune` may be replaced by its results.
        plan: say how many hours it will take, and do no more than the first trial of every study that has
            none, see `hours`.

    Returns:
        method → what was written, see `tuned`; nothing with `plan`.

    Raises:
        ValueError, TypeError: unknown names, settings that do not fit together or the data, Optuna is not
            installed, or a study in the storage is of another problem (the differences are named).
        OSError: data, storage or results that cannot be read or written, or a worker's error;
            FileExistsError if a result would replace another file and `overwrite` is False.
        KeyboardInterrupt: passed on; every trial that was complete is kept.
    """
    if trials is not None:
        checks.integer("trials", trials)
    checks.integer("jobs", jobs, maximum=MOST_JOBS)
    checks.integer("seed", seed, minimum=0, maximum=None)
    for name, switch in {"progress": progress, "overwrite": overwrite, "fast": fast, "plan": plan}.items():
        checks.boolean(name, switch)
    folder = user_path(out, "out")
    _check_fast(fast, target, budget, jobs)
    checks.one_of("final_by", final_by, FINALS_BY)
    if final_by != "both" and not fast:
        raise ValueError(f"final_by must be 'both' without fast, got {final_by!r}")
    names = [checks.one_of("method", name, ALL) for name in dict.fromkeys(methods)]
    names = names or list(FASTEST if fast else usual_entries(on.name))
    if len(parts := _by_problem(names, on)) > 1:  # an offline method has examples of its own
        how: dict[str, Any] = {
            "final": final, "trials": trials, "seed": seed, "storage": storage, "jobs": jobs, "out": out,
            "data_dir": data_dir, "ranges": ranges, "space": space, "fast": fast,
            "target": target, "budget": budget, "final_by": final_by, "plan": plan, "heartbeat": heartbeat,
            "grace": grace, "progress": progress, "overwrite": overwrite,
        }  # fmt: skip
        return {name: one for problem, part in parts for name, one in tune(part, problem, **how).items()}
    ((on, names),) = parts
    searches = [
        Search(
            method=name,
            problem=on,
            space=found,
            seed=seed,
            trials=_usual_trials(name, fast) if trials is None else trials,
            space_name=space,
        )
        for name in names
        for found in [search_space(name, ranges, problem=on.name, space=space)]
    ]
    database = Storage(
        f"sqlite:///tuning/{on.name}.db" if storage is None else storage,
        checks.integer("heartbeat", heartbeat),
        checks.integer("grace", grace),
    )
    for search in searches:
        if not overwrite:
            refuse_another_file(result_path(folder, on.name, search.method, fast=fast))
    where = None if data_dir is None else str(user_path(data_dir, "data_dir"))
    _check_data(searches, final, where)
    if fast:
        limit = _limit(folder, on, seed, where, target, budget)
        searches = [replace(search, space=(*search.space, SHARE), budget=limit) for search in searches]
    work = Work(tuple(searches), database, where)
    finals = _finals(final, folder, seed, where, jobs, fast)
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        studies = stack.enter_context(work.opened())
        folder.mkdir(parents=True, exist_ok=True)  # before hours of work, not after them
        if plan:
            for line in in_words([estimate(study, finals, where) for study in studies], jobs):
                log.info("%s", line)
            return {}
        missing = sum(study.missing() for study in studies)
        hidden = None if progress else True  # None: shown where standard error is a terminal
        bar = stack.enter_context(tqdm(total=missing, unit="trial", desc="tune", disable=hidden))
        # one method after the other, or with several jobs all of them at once
        for part in [studies] if jobs > 1 else [[study] for study in studies]:
            run_trials(part, work, jobs, bar)
            for record in _records(part, finals, tuning_data(on, where).sha256, bar, final_by):
                _write(folder, record)
                results[record.contestant] = msgspec.to_builtins(record)
    return results


def _check_fast(fast: bool, target: float | None, budget: float | None, jobs: int) -> None:
    """Refuse options that do not go with a search for fewer seconds, or only with one."""
    for name, value in (("target", target), ("budget", budget)):
        if value is not None and not fast:
            raise ValueError(f"{name} has no meaning without fast, got {value}")
        if value is not None:
            checks.positive(name, value)
    if fast and jobs != 1:
        raise ValueError(f"jobs must be 1 with fast, because trials side by side slow each other, got {jobs}")


def _usual_trials(method: str, fast: bool) -> int:
    """Return how many trials a study has unless it is told."""
    return 60 if fast and method in members("LocoProp") else 30


def _limit(
    folder: Path, on: Problem, seed: int, where: str | None, target: float | None, seconds: float | None
) -> Budget:
    """Return the budget of the trials: as given, or as RMSProp's stored settings have it."""
    if target is not None and seconds is not None:
        return Budget(seconds=seconds, target=target)
    found = trial_budget(folder / f"{on.name}{FAST}" / "target.json", on, seed, where)
    log.info(f"target {found.target:.6g}: the held-out loss of RMSProp's stored settings on this problem")
    given = {"target": target, "seconds": seconds}
    found = replace(found, **{name: value for name, value in given.items() if value is not None})
    log.info(f"budget of a trial: {found.seconds:.3g} s of steps; {PENALTY}")
    return found


def _finals(
    final: Problem | None, folder: Path, seed: int, where: str | None, jobs: int, fast: bool
) -> list[Finals]:
    """Return the finals of every study: none, the usual one, or with a budget one by loss, one by seconds."""
    if final is None:
        return []
    runs = folder / "final"
    if not fast:
        return [Finals(final, runs, where, jobs)]
    limit = final_budget(folder / f"{final.name}{FAST}" / "final-target.json", final, seed, where)
    log.info(f"finals: target {limit.target:.6g} of the train loss, budget {limit.seconds:.3g} s of steps")
    ways: tuple[By, By] = ("loss", "seconds")
    return [TimedFinals(final, runs, where, jobs, limit, by) for by in ways]


def _records(
    part: Sequence[Study], finals: Sequence[Finals], sha256: str, bar: Any, final_by: str
) -> list[Tuned]:
    """Play the finals of studies, and return the records of what was found."""
    if part[0].search.budget is None:
        ended = finals[0].play_all(part, bar) if finals else [None] * len(part)
        return [result(study, sha256, one) for study, one in zip(part, ended, strict=True)]
    timed = [one for one in finals if isinstance(one, TimedFinals)]
    limit = timed[0].budget if timed else None
    return [fast_result(study, sha256, play_timed(study, timed, bar, final_by), limit) for study in part]


def play_timed(study: Study, finals: Sequence[TimedFinals], bar: Any, final_by: str) -> dict[By, Final]:
    """Play the finals of a study with a budget that are wanted; return those by seconds, by loss."""
    ways = {one.by: one for one in finals if one.choice(study) is not None}
    found: dict[By, Final] = {}
    if "seconds" in ways and final_by != "loss":
        found["seconds"] = ways["seconds"].play_all([study], bar)[0]
    if "loss" in ways and not (final_by == "seconds" and "seconds" in found and reached(found["seconds"])):
        found["loss"] = ways["loss"].play_all([study], bar)[0]
    return found


def _by_problem(names: Iterable[str], on: Problem) -> list[tuple[Problem, list[str]]]:
    """Return the problems of methods with those methods, see `Problem.for_method`."""
    found: dict[Problem, list[str]] = {}
    for name in names:
        found.setdefault(on.for_method(name), []).append(name)
    return list(found.items())


def _check_data(searches: Sequence[Search], final: Problem | None, data_dir: str | None) -> None:
    """Refuse settings that do not fit the data, before anything is written."""
    tuning_data.cache_clear()  # a file may have changed since the last call
    on = searches[0].problem
    for problem in (final, on) if final else (on,):
        dataset = tuning_data(problem, data_dir)
        for search in searches:
            config = problem.config(search.method, seed=search.seed)
            examples(dataset, config, namespace(problem.backend))
    for note in dataset.notes:
        log.info("%s", note)


def _write(out: Path, record: Tuned) -> None:
    """Write a result, and log it."""
    path, study, method = write_result(out, record), record.study, record.contestant
    begun = "" if study.untuned_loss is None else f" (untuned {study.untuned_loss:.6g})"
    final = f", in the final {record.final.loss:.6g}" if record.final else ""
    log.info(
        f"{method}: held-out loss {study.loss:.6g}{begun} after {study.trials} trials, "
        f"{study.pruned} of them pruned{final}; {spaces.in_words(record.settings)}; {path}"
    )
    if record.frontier is not msgspec.UNSET:
        log.info(f"{method}: {describe(record)}")
    for option, end in study.edges.items():
        log.info(f"{method}: {option} is at the {end} edge of its range (--range widens it)")

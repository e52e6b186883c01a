"""A study: the trials of one method on one problem from one seed, in a database after every step.

A study is resumed by opening it again. Only complete and pruned trials count. A trial whose process was
killed is marked failed when the study goes on, and its place is free again.
"""

import hashlib
import os
import platform
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from locoprop_ref.data.files import process_is_alive
from locoprop_ref.experiments.tune.problem import Problem
from locoprop_ref.experiments.tune.space import Range, Values, untuned
from locoprop_ref.experiments.tune.storage import import_optuna

# the sampler's and the pruner's settings: ten random trials, then a model of what was found; after eight
# epochs the best quarter goes on (successive halving)
STARTUP_TRIALS = 10
PRUNER = {"min_resource": 8, "reduction_factor": 4}
# attributes of trials in the storage
UNTUNED = "untuned"
DIVERGED = "diverged"
WORKER = "worker"
RETURNED = "returned"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a study is to find, and with how many trials.

    Args:
        method: one of `tuned.CONTESTANTS`.
        problem: what it trains on.
        space: what is searched, from `space.search_space`.
        seed: of the network, the batches and the sampler.
        trials: how many complete or pruned trials the study needs.
    """

    method: str
    problem: Problem
    space: tuple[Range, ...]
    seed: int
    trials: int

    @property
    def name(self) -> str:
        """The study's name in the storage."""
        return f"{self.problem.name} {self.method} seed {self.seed}"

    def start(self) -> Values:
        """Return the values that a study begins with: the package's own defaults, see `space.untuned`."""
        own = self.problem.config(self.method, seed=self.seed)
        return untuned(self.method, self.space, data=own.data, layers=own.layers)


@dataclass(frozen=True)
class Standing:
    """How many trials of a study are complete, pruned, failed and running."""

    complete: int
    pruned: int
    failed: int
    running: int

    @property
    def finished(self) -> int:
        """How many trials count."""
        return self.complete + self.pruned


def open_study(search: Search, connection: Any, sha256: str) -> Any:
    """Return the study, made where it is missing, with dead trials marked failed and its first one queued.

    Args:
        search: which study.
        connection: the opened storage.
        sha256: hash of the data that are used.

    Raises:
        ValueError: the storage holds a study of this name on another problem; the differences are named.
    """
    optuna = import_optuna()
    study = optuna.create_study(
        study_name=search.name,
        storage=connection,
        direction="minimize",
        load_if_exists=True,
        pruner=optuna.pruners.SuccessiveHalvingPruner(**PRUNER),
    )
    _check_problem(search, study, sha256)
    fail_dead_trials(study, connection.grace_period)
    if not any(UNTUNED in t.user_attrs for t in trials_of(study) if t.state.name != "FAIL"):
        study.enqueue_trial(search.start(), user_attrs={UNTUNED: True})
    return study


def _check_problem(search: Search, study: Any, sha256: str) -> None:
    here = search.problem.record(sha256) | {f"range of {r.name}": r.record for r in search.space}
    there = study.user_attrs.get("problem")
    if there is None:
        study.set_user_attr("problem", here)
        return
    differences = [
        f"{key} {there.get(key)!r} there, {here.get(key)!r} here"
        for key in sorted(here | there)
        if here.get(key) != there.get(key)
    ]
    if differences:
        raise ValueError(
            f"storage holds the study {search.name!r} of another problem: {'; '.join(differences)} "
            "(name another --storage or --seed)"
        )


def trials_of(study: Any, *states: str) -> list[Any]:
    """Return the trials of a study in these states, all without any."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if not states or trial.state.name in states]


def standing(study: Any) -> Standing:
    """Count the trials of a study; those that gave their place back before they began are left out."""
    states = [trial.state.name for trial in trials_of(study) if RETURNED not in trial.user_attrs]
    return Standing(*(states.count(state) for state in ("COMPLETE", "PRUNED", "FAIL", "RUNNING")))


def best_trial(study: Any) -> Any:
    """Return the complete trial with the least held-out loss; of equal ones, the earlier.

    A diverged trial is never the best, unless all trials diverged.
    """
    return min(trials_of(study, "COMPLETE"), key=lambda t: (t.value, DIVERGED in t.user_attrs, t.number))


def this_process() -> str:
    """Return this machine since its last start, as a hash that reveals nothing, and the process number."""
    return f"{_machine()} {os.getpid()}"


def _machine() -> str:
    started = Path("/proc/sys/kernel/random/boot_id")
    words = f"{platform.node()} {started.read_text() if started.exists() else ''}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def fail_dead_trials(study: Any, grace: float) -> None:
    """Mark trials failed whose process has died.

    Args:
        study: of Optuna.
        grace: seconds. A process of this machine is seen to be dead at once; one of another machine is
            considered dead after so long without a sign of life, or where it never gave one.
    """
    optuna = import_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat, see `storage`
        optuna.storages.fail_stale_trials(study)
    for trial in trials_of(study, "RUNNING"):
        if _is_dead(trial, grace):
            with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process was quicker
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _is_dead(trial: Any, grace: float) -> bool:
    if WORKER not in trial.user_attrs:  # it was killed before its first sign of life, if it is old
        return bool(datetime.now() - trial.datetime_start > timedelta(seconds=grace))
    machine, _, process = trial.user_attrs[WORKER].partition(" ")
    return machine == _machine() and not process_is_alive(int(process))

"""A study: the trials of one method on one problem from one seed, in a database after every step.

A study is resumed by opening it again. It needs a number of complete or pruned trials, and has as many
places: a running trial holds one, a failed one does not. A trial whose process was killed is marked failed.
"""

import json
import os
import secrets
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from locoprop_ref.data.cache import cache_folder
from locoprop_ref.data.files import process_is_alive, write_atomically
from locoprop_ref.data.records import read_json
from locoprop_ref.experiments.tune.budget import SHARE, Budget
from locoprop_ref.experiments.tune.problem import Problem
from locoprop_ref.experiments.tune.space import Range, Values, untuned, values_at
from locoprop_ref.experiments.tune.storage import import_optuna
from locoprop_ref.experiments.tune.wide import few_steps
from locoprop_ref.experiments.tuned import provenance

# ten random trials, then a model of what was found; after eight epochs the best quarter goes on
STARTUP_TRIALS = 10
PRUNER = {"min_resource": 8, "reduction_factor": 4}
# an attribute of trials that failed because they gave their place back before they began
RETURNED = "returned"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a study is to find, and with how many trials.

    Args:
        method: one of `tuned.ALL`.
        problem: what it trains on.
        space: what is searched, from `space.search_space`.
        seed: of the network, the batches and the sampler.
        trials: how many complete or pruned trials the study needs.
        space_name: what `space` was made from, one of `wide.SPACES`; default "narrow".
        budget: the seconds and the target of a study with two objectives; default None, the loss alone.
    """

    method: str
    problem: Problem
    space: tuple[Range, ...]
    seed: int
    trials: int
    space_name: str = "narrow"
    budget: Budget | None = None

    @property
    def name(self) -> str:
        """The study's name in the storage."""
        words = [self.problem.name, self.method, f"seed {self.seed}"]
        words += [self.space_name] * (self.space_name != "narrow") + ["fast"] * (self.budget is not None)
        return " ".join(words)

    def start(self) -> Values:
        """Return the values that a study begins with: the package's own defaults, see `space.untuned`."""
        return untuned(self.method, self.space, self.problem.config(self.method, seed=self.seed))

    def stored(self) -> Values | None:
        """Return the values of the package's tuned settings; None where there are none."""
        found = provenance(self.method, self.problem.name)
        if found is None:
            return None
        config = self.problem.config(self.method, seed=self.seed, **found["settings"])
        return values_at(self.space, asdict(config) | {SHARE.option: SHARE.high})

    def record(self, sha256: str) -> dict[str, Any]:
        """Return what must be the same whenever the study is opened, as JSON: the problem and the ranges."""
        found = self.problem.record(sha256) | {f"range of {r.name}": r.record for r in self.space}
        return found if self.budget is None else found | asdict(self.budget)


@dataclass(frozen=True)
class Study:
    """A search with its trials.

    Args:
        search: what is searched.
        stored: Optuna's study.
        grace: seconds without a sign of life after which a trial of another machine is considered dead.
    """

    search: Search
    stored: Any
    grace: float

    def trials(self, *states: str) -> list[Any]:
        """Return the trials in these states (in any, if none is named) that did not give their place back."""
        kept = [t for t in self.stored.get_trials(deepcopy=False) if RETURNED not in t.user_attrs]
        return [trial for trial in kept if not states or trial.state.name in states]

    def missing(self) -> int:
        """Return how many trials are still needed."""
        return max(self.search.trials - len(self.trials("COMPLETE", "PRUNED")), 0)

    def running(self) -> set[int]:
        """Return the numbers of the running trials."""
        return {trial.number for trial in self.trials("RUNNING")}

    def has_place(self) -> bool:
        """Tell whether a trial is needed that is not running yet."""
        return self.missing() > len(self.running())

    def best(self) -> Any:
        """Return the complete trial with the least held-out loss; of equal ones, the earlier.

        A diverged trial is never the best, unless all trials diverged.
        """
        complete = self.trials("COMPLETE")
        return min(complete, key=lambda t: (t.values[0], "diverged" in t.user_attrs, t.number))

    def fastest(self) -> Any:
        """Return the trial that came to the target in the fewest seconds; None where none came to it.

        Of a study without a budget no trial did.
        """
        there = [t for t in self.trials("COMPLETE") if t.user_attrs.get("timed", {}).get("reached")]
        return min(there, key=lambda t: (t.user_attrs["timed"]["reached"], t.number), default=None)

    def front(self) -> list[Any]:
        """Return the trials that no other one beats in both objectives, the quickest first."""
        return sorted(self.stored.best_trials, key=lambda t: (t.values[1], t.values[0], t.number))

    def fail_dead_trials(self) -> None:
        """Mark trials failed whose process has died: of this machine at once, of another after the grace."""
        optuna = import_optuna()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat
            optuna.storages.fail_stale_trials(self.stored)
        for trial in self.trials("RUNNING"):
            if self._is_dead(trial):
                failed = optuna.trial.TrialState.FAIL
                with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another process was quicker
                    self.stored.tell(trial.number, state=failed, skip_if_finished=True)

    def _is_dead(self, trial: Any) -> bool:
        if "worker" not in trial.user_attrs:  # an old one was killed before its first sign of life
            return bool(datetime.now() - trial.datetime_start > timedelta(seconds=self.grace))
        machine, _, process = trial.user_attrs["worker"].partition(" ")
        return machine == _machine() and not process_is_alive(int(process))


def open_study(search: Search, connection: Any, sha256: str) -> Study:
    """Return a study, made where it is missing, with dead trials marked failed and its first ones queued.

    Args:
        search: which one.
        connection: the opened storage.
        sha256: hash of the data that are used.

    Raises:
        ValueError: the storage holds a study of this name on another problem; the differences are named.
    """
    optuna = import_optuna()
    stored = optuna.create_study(
        study_name=search.name,
        storage=connection,
        directions=["minimize"] if search.budget is None else ["minimize", "minimize"],
        load_if_exists=True,
        pruner=optuna.pruners.SuccessiveHalvingPruner(**PRUNER),
    )
    _check_problem(search, stored, sha256)
    study = Study(search, stored, connection.grace_period)
    study.fail_dead_trials()
    begin = {"untuned": search.start()}
    if search.budget is not None and (known := search.stored()) is not None:
        begin["stored"] = known  # a search for fewer seconds begins with what is known too
        if (few := few_steps(known)) is not None:
            begin["few steps"] = few
    for what, values in begin.items():
        if not any(what in t.user_attrs for t in study.trials() if t.state.name != "FAIL"):
            stored.enqueue_trial(values, user_attrs={what: True})
    return study


def _check_problem(search: Search, stored: Any, sha256: str) -> None:
    here = search.record(sha256)
    there = stored.user_attrs.get("problem")
    if there is None:
        stored.set_user_attr("problem", here)
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


def this_process() -> str:
    """Return a name of this machine since its last start, drawn at random, and the process number."""
    return f"{_machine()} {os.getpid()}"


def _machine() -> str:
    """Return the name that this user's processes on this machine have in common until it starts anew.

    It is kept in the cache folder. Where that cannot be written every look gives another name, and a trial
    whose process was killed is recognized by its heartbeat alone.
    """
    boot, file = Path("/proc/sys/kernel/random/boot_id"), cache_folder() / "machine.json"
    started = boot.read_text().strip() if boot.exists() else ""
    for _ in range(2):
        with suppress(OSError, ValueError):
            known = read_json(file, "the name of this machine")
            if isinstance(known, dict) and known.get("started") == started:
                return str(known["name"])
        content = json.dumps({"started": started, "name": secrets.token_hex(8)}).encode()
        with suppress(OSError):
            write_atomically(file, partial(_write, content=content))
    return secrets.token_hex(8)


def _write(stream: BinaryIO, content: bytes) -> None:
    stream.write(content)

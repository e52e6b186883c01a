"""The trials of studies that several processes share: each takes a place in a study, trains, and reports.

A study has as many places as it needs trials. A complete or pruned trial keeps its place, and a running one
holds it until it ends; a process without a free place is done. So processes need nothing but the storage to
agree, on one machine or on many.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from locoprop_ref.backend import namespace
from locoprop_ref.experiments.tune.objective import objective
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.space import Range, Values, settings
from locoprop_ref.experiments.tune.storage import Storage, import_optuna
from locoprop_ref.experiments.tune.study import (
    RETURNED,
    STARTUP_TRIALS,
    WORKER,
    Search,
    open_study,
    standing,
    this_process,
    trials_of,
)
from locoprop_ref.training import Examples, examples
from locoprop_ref.training.interrupt import Interrupts, handled_signals


class _PlaceReturned(Exception):
    """The trial gives its place back before it begins."""


class TrialsWork(msgspec.Struct, frozen=True, tag="trials"):
    """What a process works on: trials of these studies, until they have no free place.

    Args:
        searches: the studies, all on one problem.
        storage: the database that holds them.
        data_dir: folder of the data set's files.
        index: which study this process prefers, so that processes that start together spread over them.
    """

    searches: tuple[Search, ...]
    storage: Storage
    data_dir: str | None = None
    index: int = 0

    def run(self, after_trial: Callable[[], None] = lambda: None) -> None:
        """Run trials until no study has a free place.

        Raises:
            ValueError, OSError: see `Storage.opened` and `open_study`.
            KeyboardInterrupt: passed on; the trial is marked failed.
        """
        first = self.searches[0]
        dataset, xp = tuning_data(first.problem, self.data_dir), namespace(first.problem.backend)
        data = examples(dataset, first.problem.config(first.method, seed=first.seed), xp)
        with self.storage.opened() as connection:
            studies = [open_study(search, connection, dataset.sha256) for search in self.searches]
            places = Places(self.searches, studies, self.index)
            while (number := places.free()) is not None:
                run_trial(self.searches[number], studies[number], places, data, xp)
                after_trial()


class Places:
    """The places of studies that several processes share.

    Args:
        searches, studies: what the studies are, and the studies.
        index: which one this process prefers among equals.
    """

    def __init__(self, searches: Sequence[Search], studies: Sequence[Any], index: int = 0) -> None:
        self.searches, self.studies, self.index = searches, studies, index

    def free(self) -> int | None:
        """Return which study to serve: of those with a free place the one with the fewest running trials."""
        running = self._running()
        count = len(self.studies)
        return min(running, key=lambda n: (running[n], (n - self.index) % count)) if running else None

    def _running(self) -> dict[int, int]:
        """Return how many trials run in every study with a free place."""
        counts = {n: standing(study) for n, study in enumerate(self.studies)}
        return {
            n: now.running
            for n, now in counts.items()
            if now.finished + now.running < self.searches[n].trials
        }

    def holds(self, study: Any, number: int) -> bool:
        """Tell whether a trial that has just begun may keep its place.

        Two processes that looked at the same moment may have taken the last place both, or begun the same
        study although another one had no process. Of two such trials the one that came first stays.
        """
        taken = [t.number for t in trials_of(study, "COMPLETE", "PRUNED", "RUNNING") if t.number != number]
        earlier = [other for other in taken if other < number]
        if len(earlier) >= self.searches[self.studies.index(study)].trials:
            return False
        return not (set(earlier) & _running_numbers(study) and 0 in self._running().values())


def run_trial(search: Search, study: Any, places: Places, data: Examples, xp: Any) -> None:
    """Run the next trial of a study, or none where another process has taken its place.

    Where no other trial of the study is running, the sampler's seed follows from the seed and the number of
    trials that count, so that a resumed study goes on as if it had never stopped. Where others are running
    the seed is drawn, because their order cannot be repeated anyway.

    Raises:
        ValueError: settings that do not fit the problem.
        KeyboardInterrupt: passed on; the trial is marked failed.
    """
    optuna = import_optuna()
    begun: list[int] = []
    errors: list[ValueError] = []

    def measure(trial: Any) -> float:
        begun.append(trial.number)
        if not places.holds(study, trial.number):
            trial.set_user_attr(RETURNED, True)
            raise _PlaceReturned
        trial.set_user_attr(WORKER, this_process())
        alone = not _running_numbers(study) - {trial.number}
        study.sampler = _sampler(search, standing(study).finished if alone else None)
        try:
            chosen = settings(_suggest(trial, search.space))
            config = search.problem.config(search.method, seed=search.seed, **chosen)
            return objective(trial, config, data, xp, interrupts.check)
        except ValueError as error:
            errors.append(error)
            raise

    with Interrupts(*handled_signals()) as interrupts:
        try:
            study.optimize(measure, n_trials=1, catch=(_PlaceReturned,))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            # Optuna's own: the trial was marked failed, because this process slept beyond the grace period
            if error in errors or not begun:
                raise


def _running_numbers(study: Any) -> set[int]:
    return {trial.number for trial in trials_of(study, "RUNNING")}


def _sampler(search: Search, finished: int | None) -> Any:
    seed = None
    if finished is not None:
        seed = int(np.random.SeedSequence([search.seed, finished]).generate_state(1)[0])
    return import_optuna().samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)


def _suggest(trial: Any, space: Sequence[Range]) -> Values:
    return {
        r.name: trial.suggest_categorical(r.name, r.choices)
        if r.choices
        else trial.suggest_float(r.name, r.low, r.high, log=True)
        for r in space
    }

"""The trials of studies that several processes share: each takes a place in a study, trains, and reports.

Processes need nothing but the storage to agree, on one machine or on many. One without a free place is done.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    Search,
    Study,
    open_study,
    this_process,
)
from locoprop_ref.experiments.tune.timed import timed_objective
from locoprop_ref.training import Examples, examples
from locoprop_ref.training.interrupt import Interrupts, handled_signals


class Work(msgspec.Struct, frozen=True):
    """What a process works on: trials of these studies, until none has a free place.

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

    @contextmanager
    def opened(self) -> Iterator[list[Study]]:
        """Open the storage, and the studies in it.

        Raises:
            ValueError, OSError: see `Storage.opened` and `open_study`.
        """
        sha256 = tuning_data(self.searches[0].problem, self.data_dir).sha256
        with self.storage.opened() as connection:
            yield [open_study(search, connection, sha256) for search in self.searches]

    def run(self, after_trial: Callable[[], None] = lambda: None) -> None:
        """Run trials until no study has a free place.

        Raises:
            ValueError, OSError: see `opened`.
            KeyboardInterrupt: passed on; the trial is marked failed.
        """
        first = self.searches[0]
        dataset, xp = tuning_data(first.problem, self.data_dir), namespace(first.problem.backend)
        data = examples(dataset, first.problem.config(first.method, seed=first.seed), xp)
        with self.opened() as studies:
            while study := with_place(studies, self.index):
                run_trial(study, studies, data, xp)
                after_trial()


def with_place(studies: Sequence[Study], index: int) -> Study | None:
    """Return the study to serve: of those with a free place the one with the fewest running trials.

    Of several it is the one at `index`, or the next one after it.
    """
    in_turn = [studies[(index + n) % len(studies)] for n in range(len(studies))]
    return min(filter(Study.has_place, in_turn), key=lambda study: len(study.running()), default=None)


def keeps_place(number: int, study: Study, studies: Sequence[Study]) -> bool:
    """Tell whether a trial that has just begun may keep its place.

    Two processes that looked at the same moment may both have taken the last place, or begun the same study
    although another one had no process. Of two such trials the earlier one stays.
    """
    earlier = {t.number for t in study.trials("COMPLETE", "PRUNED", "RUNNING") if t.number < number}
    if len(earlier) >= study.search.trials:
        return False
    return not (earlier & study.running() and any(s.has_place() and not s.running() for s in studies))


class _PlaceReturned(Exception):
    """A trial gives its place back before it begins."""


def run_trial(study: Study, studies: Sequence[Study], data: Examples, xp: Any) -> None:
    """Run the next trial of a study, or none where another process has taken its place.

    Where no other trial of the study is running, the sampler's seed follows from the seed and the number of
    trials that count, so that a resumed study goes on as if it had never stopped. Where others are running
    the seed is drawn, because their order cannot be repeated anyway.

    Raises:
        ValueError: settings that do not fit the problem.
        KeyboardInterrupt: passed on; the trial is marked failed.
    """
    optuna, search = import_optuna(), study.search
    begun: list[int] = []
    errors: list[ValueError] = []

    def measure(trial: Any) -> float | tuple[float, float]:
        begun.append(trial.number)
        if not keeps_place(trial.number, study, studies):
            trial.set_user_attr(RETURNED, True)
            raise _PlaceReturned
        trial.set_user_attr("worker", this_process())
        alone = study.running() == {trial.number}
        study.stored.sampler = _sampler(search, search.trials - study.missing() if alone else None)
        try:
            chosen = settings(_suggest(trial, search.space))
            if search.budget is not None:
                return timed_objective(trial, search, chosen, data, xp, interrupts.check)
            config = search.problem.config(search.method, seed=search.seed, **chosen)
            return objective(trial, config, data, xp, interrupts.check)
        except ValueError as error:
            errors.append(error)
            raise

    with Interrupts(*handled_signals()) as interrupts:
        try:
            study.stored.optimize(measure, n_trials=1, catch=(_PlaceReturned,))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            # Optuna's own: the trial was marked failed, because this process slept beyond the grace period
            if error in errors or not begun:
                raise


def _sampler(search: Search, finished: int | None) -> Any:
    seed = None
    if finished is not None:
        seed = int(np.random.SeedSequence([search.seed, finished]).generate_state(1)[0])
    return import_optuna().samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)


def _suggest(trial: Any, space: Sequence[Range]) -> Values:
    found: Values = {}
    for r in space:
        if not r.is_searched(found):
            continue
        if r.choices:
            found[r.name] = trial.suggest_categorical(r.name, r.choices)
        elif r.integer:
            found[r.name] = trial.suggest_int(r.name, int(r.low), int(r.high), log=True)
        else:
            found[r.name] = trial.suggest_float(r.name, r.low, r.high, log=True)
    return found

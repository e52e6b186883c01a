"""How long a tuning will take: trials × the seconds of a trial, and the runs of the finals, before it begins.

The seconds of a trial are the mean of the study's own trials. Where there is none yet the first one is run,
and stays in the study. It is never pruned, and with a budget it has the largest share of the seconds, so that
later ones seldom take longer. What the runs of the finals take follows from the steps of an epoch and from an
evaluation of the whole network, which are measured.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from locoprop_ref.backend import namespace
from locoprop_ref.experiments.tune.finals import Finals
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.study import Study
from locoprop_ref.experiments.tune.timed import epoch_seconds
from locoprop_ref.experiments.tune.trials import run_trial
from locoprop_ref.training import examples
from locoprop_ref.training.build import build_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.task import losses_of

# three rates, the settings beside them, and one further rate
RUNS_OF_A_FINAL = 5


@dataclass(frozen=True)
class Estimate:
    """What a study will take.

    Attributes:
        method: of the study.
        trials: how many are missing.
        trial_seconds: of one of them.
        runs: of its finals.
        run_seconds: of one of them.
    """

    method: str
    trials: int
    trial_seconds: float
    runs: int
    run_seconds: float

    @property
    def seconds(self) -> float:
        """Trials and finals together.

        >>> Estimate("sgd", 30, 10.0, 5, 100.0).seconds
        800.0
        """
        return self.trials * self.trial_seconds + self.runs * self.run_seconds


def estimate(study: Study, finals: Sequence[Finals], data_dir: str | None) -> Estimate:
    """Return what a study will take; where it has no trial yet its first one is run.

    Args:
        study: opened.
        finals: that it will have.
        data_dir: folder of the data set's files.

    Raises:
        ValueError: settings that do not fit the problem.
        KeyboardInterrupt: passed on; the trial is marked failed.
    """
    search = study.search
    if study.missing() and not study.trials("COMPLETE", "PRUNED"):
        dataset, xp = tuning_data(search.problem, data_dir), namespace(search.problem.backend)
        config = search.problem.config(search.method, seed=search.seed)
        run_trial(study, [study], examples(dataset, config, xp), xp)
    ended = study.trials("COMPLETE", "PRUNED")
    seconds = statistics.fmean(trial.duration.total_seconds() for trial in ended) if ended else 0.0
    # by loss and by seconds a run takes the same
    run = final_run_seconds(study, finals[0]) if finals else 0.0
    return Estimate(search.method, study.missing(), seconds, RUNS_OF_A_FINAL * len(finals), run)


def final_run_seconds(study: Study, finals: Finals) -> float:
    """Return the seconds of a run of a final: its steps and evaluations, in the settings tried beside.

    Args:
        study: whose final.
        finals: that it will have.
    """
    options = finals.run_of(study.search, finals.beside(study)[0]).options
    config = resolve(**options)
    xp = namespace(config.backend)
    data = examples(finals.data, config, xp)
    network = build_network(config, config.seed, xp=xp)
    started = time.perf_counter()
    losses_of(network, data)
    evaluation = time.perf_counter() - started
    seconds = epoch_seconds(config, data, xp)
    return config.epochs * (evaluation + (seconds if np.isfinite(seconds) else 0.0))


def in_words(estimates: Sequence[Estimate], jobs: int) -> list[str]:
    """Return estimates in lines, the last one with the hours of all.

    Args:
        estimates: of all studies.
        jobs: trials and runs side by side.

    >>> in_words([Estimate("sgd", 30, 10.0, 5, 120.0)], jobs=1)
    ['sgd: 30 trials of 10.0 s, 5 runs of finals of 120.0 s: 0.25 h', 'in all 0.25 h with 1 job']
    """
    lines = [
        f"{one.method}: {one.trials} trials of {one.trial_seconds:.1f} s"
        + (f", {one.runs} runs of finals of {one.run_seconds:.1f} s" if one.runs else "")
        + f": {one.seconds / 3600:.2g} h"
        for one in estimates
    ]
    hours = sum(one.seconds for one in estimates) / 3600 / jobs
    return [*lines, f"in all {hours:.2g} h with {jobs} job{'s' * (jobs > 1)}"]

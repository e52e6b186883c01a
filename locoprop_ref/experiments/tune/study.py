"""One study: the trials of one contestant on one problem from one seed, in a database after every step.

A study is resumed by opening it again. A trial whose worker was killed has no heartbeat any more and is
marked failed when the study goes on; failed trials do not count.
"""

import hashlib
import os
import platform
import signal
import time
import warnings
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref.backend import namespace
from locoprop_ref.data.files import process_is_alive
from locoprop_ref.experiments.tune.objective import objective
from locoprop_ref.experiments.tune.problem import Problem, tuning_data
from locoprop_ref.experiments.tune.space import Params, Range, settings, untuned
from locoprop_ref.experiments.tune.storage import import_optuna, opened
from locoprop_ref.training import examples
from locoprop_ref.training.interrupt import Interrupts

# the sampler's and the pruner's settings: ten trials at random, then by what was found; after eight epochs
# the best quarter goes on (successive halving)
STARTUP_TRIALS = 10
PRUNER = {"min_resource": 8, "reduction_factor": 4}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker needs to run a trial of a study.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        problem: what it trains on.
        space: what is searched, from `space.search_space`.
        seed: of the network, the batches and the sampler.
        storage: database URL.
        data_dir: folder of the data set's files.
        candidates: in a final, the settings to try, and nothing else, as tuples of (option, value).
        of: in a final, the number of the search's trial that it tries.
        round: of the final, default the first.
        heartbeat: seconds from one sign of life of a running trial to the next; default 10.
        grace: seconds without one after which it is taken for dead; default 60.
    """

    contestant: str
    problem: Problem
    space: tuple[Range, ...]
    seed: int
    storage: str
    data_dir: str | None = None
    candidates: tuple[tuple[tuple[str, Any], ...], ...] = ()
    of: int | None = None
    round: int = 1
    heartbeat: int = 10
    grace: int = 60

    @property
    def name(self) -> str:
        """The study's name in the storage."""
        final = f" final of {self.of} round {self.round}" if self.candidates else ""
        return f"{self.problem.name} {self.contestant} seed {self.seed}{final}"

    def opened(self, *, known: bool = False) -> AbstractContextManager[Any]:
        """Open the storage, see `storage.opened`."""
        return opened(self.storage, heartbeat=self.heartbeat, grace=self.grace, known=known)

    def settings(self, params: Params) -> dict[str, Any]:
        """Return the options of a trial's searched values."""
        return dict(self.candidates[int(params["candidate"])]) if self.candidates else settings(params)


@dataclass(frozen=True)
class Standing:
    """How many trials of a study are complete, pruned, failed and running."""

    complete: int
    pruned: int
    failed: int
    running: int

    @property
    def finished(self) -> int:
        """The trials that count."""
        return self.complete + self.pruned


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: "complete", "pruned", "diverged", or "failed" where others gave it up for dead."""

    contestant: str
    number: int
    ending: str
    loss: float
    epochs: int
    seconds: float

    def __str__(self) -> str:
        """One line for the user."""
        how = {
            "complete": f"held-out loss {self.loss:.6g}",
            "pruned": f"pruned after epoch {self.epochs} at {self.loss:.6g}",
            "diverged": f"diverged after epoch {self.epochs}",
            "failed": "given up for dead by another worker: it does not count",
        }[self.ending]
        return f"{self.contestant} trial {self.number}: {how}, {self.seconds:.1f} s"


def open_study(task: Task, storage: Any, sha256: str) -> Any:
    """Return the study, made if need be, its dead trials marked failed and its first trial in the queue.

    Args:
        task: which study.
        storage: from `opened`.
        sha256: hash of the data that are used.

    Raises:
        ValueError: the storage holds a study of this name on another problem; the differences are named.
    """
    optuna = import_optuna()
    study = optuna.create_study(
        study_name=task.name,
        storage=storage,
        direction="minimize",
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner()
        if task.candidates
        else optuna.pruners.SuccessiveHalvingPruner(**PRUNER),
    )
    _check_problem(task, study, sha256)
    fail_dead_trials(study)
    _enqueue(task, study)
    return study


def _enqueue(task: Task, study: Any) -> None:
    """Put into the queue what has to be tried, unless it is there or done: the defaults; in a final all."""
    failed = import_optuna().trial.TrialState.FAIL
    there = [t for t in study.get_trials(deepcopy=False) if t.state != failed]
    for number in range(len(task.candidates)):
        if number not in map(candidate_of, there):
            _enqueue_candidate(study, number)
    if not task.candidates and not any(t.user_attrs.get("untuned") for t in there):
        study.enqueue_trial(start(task), user_attrs={"untuned": True})


def _enqueue_candidate(study: Any, number: int) -> None:
    study.enqueue_trial({"candidate": str(number)}, user_attrs={"candidate": number})


def _enqueue_once_more(task: Task, study: Any) -> None:
    """Where all candidates left are at work elsewhere, try the first one here too: it may never end there."""
    trials = study.get_trials(deepcopy=False)
    if not any(t.state.name == "WAITING" for t in trials):
        complete = _complete_candidates(study)
        left = [number for number in range(len(task.candidates)) if number not in complete]
        if left:
            _enqueue_candidate(study, left[0])


def candidate_of(trial: Any) -> int | None:
    """Return the number of the candidate that a trial of a final tries, None while it has none yet."""
    number = trial.params.get("candidate", trial.user_attrs.get("candidate"))
    return None if number is None else int(number)


def _complete_candidates(study: Any) -> set[int | None]:
    trials = study.get_trials(deepcopy=False)
    return {candidate_of(trial) for trial in trials if trial.state.name == "COMPLETE"}


def fail_dead_trials(study: Any) -> None:
    """Mark trials failed whose worker is no more: a process of this machine at once, others after `grace`."""
    optuna = import_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat, as above
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        machine, _, process = trial.user_attrs.get("worker", "").partition(" ")
        if machine == _machine() and not process_is_alive(int(process)):
            with suppress(optuna.exceptions.UpdateFinishedTrialError):  # another worker was quicker
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _machine() -> str:
    """A name of this machine since it was started that gives nothing away."""
    started = Path("/proc/sys/kernel/random/boot_id")
    words = f"{platform.node()} {started.read_text() if started.exists() else ''}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _check_problem(task: Task, study: Any, sha256: str) -> None:
    here = task.problem.record(sha256) | {f"range of {r.name}": r.record for r in task.space}
    here |= {f"candidate {number}": dict(found) for number, found in enumerate(task.candidates)}
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
            f"storage holds the study {task.name!r} of another problem: {'; '.join(differences)} "
            "(name another --storage or --seed)"
        )


def start(task: Task) -> Params:
    """Return where a study begins: the package's own defaults, as searched, but for `space.untuned`'s."""
    own = task.problem.config(task.contestant, seed=task.seed)
    return untuned(task.contestant, task.space, data=own.data, layers=own.layers)


def standing(study: Any) -> Standing:
    """Count the trials of a study."""
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    return Standing(*(states.count(state) for state in ("COMPLETE", "PRUNED", "FAIL", "RUNNING")))


def counted(task: Task, study: Any) -> int:
    """Return how many trials of a study count: complete or pruned ones; of a final, candidates, each once."""
    return len(_complete_candidates(study)) if task.candidates else standing(study).finished


def run_trial(task: Task, alone: bool, stop: int = signal.SIGINT) -> Outcome:
    """Run the next trial of a study.

    Args:
        task: which study.
        alone: no other worker of this command is at it. If no other command is either, the sampler's seed
            follows from (seed, trials that count so far), so that a resumed study goes on as if it had never
            stopped; with several workers it is drawn, as their order cannot be repeated anyhow.
        stop: the signal that ends the trial, as failed, with KeyboardInterrupt.

    Raises:
        ValueError, OSError: see `opened` and `open_study`.
    """
    started = time.perf_counter()
    optuna, xp = import_optuna(), namespace(task.problem.backend)
    dataset = tuning_data(task.problem, task.data_dir)
    data = examples(dataset, task.problem.config(task.contestant, seed=task.seed), xp)
    numbers: list[int] = []
    errors: list[ValueError] = []

    def measure(trial: Any) -> float:
        numbers.append(trial.number)
        trial.set_user_attr("worker", f"{_machine()} {os.getpid()}")
        chosen = task.settings(_suggest(trial, task.space))
        config = task.problem.config(task.contestant, seed=task.seed, **chosen)
        try:
            return objective(trial, config, data, xp, interrupts.check)
        except ValueError as error:
            errors.append(error)
            raise

    with Interrupts(stop) as interrupts, task.opened(known=True) as storage:
        study = open_study(task, storage, dataset.sha256)
        if task.candidates:
            _enqueue_once_more(task, study)
        study.sampler = _sampler(task, standing(study), alone)
        try:
            study.optimize(measure, n_trials=1)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            # Optuna's own: the trial was given up for dead, as this process slept beyond the grace
            if error in errors or not numbers:
                raise
        trial = study.get_trials(deepcopy=False)[numbers[0]]
    return _outcome(task, trial, time.perf_counter() - started)


def _sampler(task: Task, now: Standing, alone: bool) -> Any:
    seed = None
    if alone and not now.running:
        seed = int(np.random.SeedSequence([task.seed, now.finished]).generate_state(1)[0])
    return import_optuna().samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)


def _outcome(task: Task, trial: Any, seconds: float) -> Outcome:
    ending = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")
    if ending == "complete" and "diverged" in trial.user_attrs:
        ending = "diverged"
    epochs = max(trial.intermediate_values, default=0)
    loss = trial.intermediate_values.get(epochs, float("nan"))
    return Outcome(task.contestant, trial.number, ending, loss, epochs, seconds)


def _suggest(trial: Any, space: tuple[Range, ...]) -> Params:
    return {
        r.name: trial.suggest_categorical(r.name, r.choices)
        if r.choices
        else trial.suggest_float(r.name, r.low, r.high, log=True)
        for r in space
    }

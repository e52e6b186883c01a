r"""Tuning: the hyper-parameters of every contestant, searched alike, on held-out training images.

    space      what is searched for each contestant, with its ranges
    problem    part of the training images to train on, another part to select by; never the test set
    objective  one trial: train, report the held-out loss after every epoch
    study      the trials of one contestant, in a database after every step
    storage    that database, opened by its URL
    workers    trials side by side
    finals     the best settings at several rates, and those of the first trial, on the whole network
    stored     the best settings with their provenance, as JSON

Every contestant gets the same number of trials: the package's own defaults first (but for FOOF, Shampoo and
K-FAC see `space.untuned`), then random ones, then those that a tree-structured Parzen estimator proposes. Of
the trials that reach eight epochs the best quarter goes on, the others are cut short. Then, where the problem
is a reduced one, the same final for every contestant. LocoProp's K and, by steps, its η stay the authors' (10
and infinity), as do the other options that `space` does not name. Needs Optuna: locoprop-ref[tune].
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.experiments.tune.finals import candidates
from locoprop_ref.experiments.tune.problem import (
    PROBLEMS,
    Problem,
    reduced_problem,
    tuning_data,
    whole_problem,
)
from locoprop_ref.experiments.tune.space import SPACE, Range, search_space, settings
from locoprop_ref.experiments.tune.stored import best_trial, next_candidates, result, with_final, write_result
from locoprop_ref.experiments.tune.study import (
    Outcome,
    Task,
    counted,
    fail_dead_trials,
    open_study,
    standing,
    start,
)
from locoprop_ref.experiments.tune.workers import run_all
from locoprop_ref.experiments.tuned import CONTESTANTS
from locoprop_ref.training import examples

__all__ = [
    "PROBLEMS", "SPACE", "Problem", "Range", "reduced_problem", "search_space", "tune",
    "whole_problem",
]  # fmt: skip


def tune(
    contestants: Sequence[str] = (),
    on: Problem = PROBLEMS["mnist"],
    *,
    final: Problem | None = None,
    trials: int = 30,
    seed: int = 0,
    storage: str | None = None,
    jobs: int = 1,
    out: str | os.PathLike[str] = "tuning",
    data_dir: str | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    heartbeat: int = 10,
    grace: int = 60,
    progress: bool = True,
    say: Callable[[str], None] = lambda sentence: None,
) -> dict[str, dict[str, Any]]:
    """Search the settings of contestants on a problem; write the best as `OUT/PROBLEM/CONTESTANT.json`.

    A study is resumed by the same call, and extended by one with more trials. With one job the same seed
    gives the same study, resumed or not; with several, and as many contestants left, every study has one
    worker and is the same too, up to what another number of BLAS threads does to the last bits.

    Args:
        contestants: of `tuned.CONTESTANTS`; none means all.
        on: the problem, as `reduced_problem("mnist")` makes it.
        final: the whole problem, as `whole_problem` makes it, for the final; default none.
        trials: a study is done with so many complete or pruned trials; failed ones do not count. Commands
            that share a storage may end up with a few more, one for each trial that runs elsewhere, and
            try a candidate of a final twice.
        seed: of the network, the batches and the search.
        storage: database URL; default sqlite:///tuning/PROBLEM.db. For several machines a server's.
        jobs: trials at a time, each on its share of the cores.
        out: folder of the results.
        data_dir: folder of the data set's files, see `data.load`.
        ranges: wider or narrower ones, {name: (low, high)}, for every contestant named. The study of a
            storage keeps its ranges: name another storage or seed.
        heartbeat, grace: seconds from one sign of life of a trial to the next, and without one until it is
            given up for dead.
        progress: show a progress bar, where standard error is a terminal.
        say: called with every line for the user.

    Returns:
        contestant → what was written, see `tuned`.

    Raises:
        ValueError, TypeError: unknown names, settings that do not fit together or the data, Optuna is not
            installed, or a study in the storage is of another problem (the differences are named).
        OSError: data, storage or results that cannot be read or written.
        KeyboardInterrupt: passed on; every trial that was complete is kept.
    """
    checks.integer("trials", trials)
    checks.integer("jobs", jobs)
    checks.integer("seed", seed, minimum=0)
    names = [checks.one_of("contestant", name, CONTESTANTS) for name in dict.fromkeys(contestants)]
    tasks = [
        Task(
            contestant=name,
            problem=on,
            space=search_space(name, ranges),
            seed=seed,
            storage=storage or f"sqlite:///tuning/{on.name}.db",
            data_dir=data_dir,
            heartbeat=checks.integer("heartbeat", heartbeat),
            grace=checks.integer("grace", grace),
        )
        for name in names or CONTESTANTS
    ]
    tuning_data.cache_clear()  # a file may have changed since the last call
    for problem in (final, on) if final else (on,):
        dataset = tuning_data(problem, data_dir)
        for task in tasks:
            examples(dataset, problem.config(task.contestant, seed=seed), namespace(problem.backend))
    for note in dataset.notes:
        say(note)
    with ExitStack() as stack:
        database = stack.enter_context(tasks[0].opened())
        studies = {task: open_study(task, database, dataset.sha256) for task in tasks}
        Path(out).mkdir(parents=True, exist_ok=True)  # before hours of work, not after them
        search = _Search(database, studies, trials, final, Path(out), say)
        search.bar = stack.enter_context(_bar(search.missing, progress))
        run_all(search, jobs)
    return search.results


class _Search:
    """Studies on their way to their number of trials, and then through their final."""

    def __init__(
        self,
        database: Any,
        studies: dict[Task, Any],
        trials: int,
        final: Problem | None,
        out: Path,
        say: Callable[[str], None],
    ) -> None:
        self.database, self.studies, self.trials, self.final = database, studies, trials, final
        self.out, self.say = out, say
        self.results: dict[str, dict[str, Any]] = {}
        self.done: dict[str, list[tuple[Task, Any]]] = {}
        self.bar: Any = None

    def _wanted(self, task: Task) -> int:
        return len(task.candidates) or self.trials

    @property
    def missing(self) -> int:
        """How many trials are still to be run."""
        return sum(max(self._wanted(task) - counted(task, study), 0) for task, study in self.studies.items())

    def choose(self, at_work: list[str]) -> Task | None:
        """Return the study with the fewest running trials that still needs one; end those that are done."""
        open_ones: list[tuple[int, int, Task]] = []
        for number, (task, study) in enumerate(list(self.studies.items())):
            ours = at_work.count(task.contestant)
            if counted(task, study) + ours < self._wanted(task):
                open_ones.append((max(standing(study).running, ours), number, task))
            elif not ours and task.contestant not in self.results:
                self._end(task, study)
                return self.choose(at_work)
        return min(open_ones, key=lambda one: one[:2])[2] if open_ones else None

    def report(self, outcome: Outcome) -> None:
        """Say how a trial ended."""
        self.say(str(outcome))
        if outcome.ending != "failed":
            self.bar.update()

    def lost(self, task: Task) -> None:
        """Mark the trial of a killed worker failed."""
        fail_dead_trials(self.studies[task])
        self.say(f"{task.contestant}: a worker was killed, its trial is marked failed and does not count")

    def _end(self, task: Task, study: Any) -> None:
        """Begin the final of a study that has its trials, or its next round, or write the result."""
        done = self.done.setdefault(task.contestant, [])
        done.append((task, study))
        following = self._next_candidates(done) if self.final else ()
        if self.final and following:
            del self.studies[task]
            final = replace(
                task,
                problem=self.final,
                space=(Range("candidate", choices=tuple(map(str, range(len(following))))),),
                candidates=tuple(tuple(each.items()) for each in following),
                of=best_trial(done[0][1]).number,
                round=len(done),
            )
            sha256 = tuning_data(self.final, task.data_dir).sha256
            self.studies[final] = open_study(final, self.database, sha256)
            self.bar.total = self.bar.n + self.missing
            return
        reduced, *rounds = done
        record = result(*reduced)
        self._write(with_final(record, reduced[0], rounds) if rounds else record)

    def _next_candidates(self, done: list[tuple[Task, Any]]) -> tuple[dict[str, Any], ...]:
        (reduced, study), *rounds = done
        best = best_trial(study)
        if rounds and rounds[0][0].of == best.number:
            return next_candidates(rounds)
        if rounds:
            self.say(f"{reduced.contestant}: a better trial came in meanwhile, its final begins anew")
            del done[1:]
        return candidates(reduced.contestant, settings(best.params), settings(start(reduced)))

    def _write(self, record: dict[str, Any]) -> None:
        name, path = record["contestant"], write_result(self.out, record)
        self.results[name] = record
        found, begun = record["study"]["loss"], record["study"]["untuned_loss"]
        chosen = ", ".join(f"{option} {value}" for option, value in record["settings"].items())
        before = "" if begun is None else f" (untuned {begun:.6g})"
        final = f", in the final {record['final']['loss']:.6g}" if "final" in record else ""
        self.say(
            f"{name}: held-out loss {found:.6g}{before} after {record['study']['trials']} trials, "
            f"{record['study']['pruned']} of them pruned{final}; {chosen}; {path}"
        )
        for option, end in record["study"]["edges"].items():
            self.say(f"{name}: {option} is at the {end} edge of its range (--range widens it)")


def _bar(missing: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=missing, unit="trial", desc="tune", disable=None if progress else True)

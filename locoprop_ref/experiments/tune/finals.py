"""The finals of studies: their missing runs, round by round, one after the other or side by side."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locoprop_ref.experiments.tune.final import Played, play
from locoprop_ref.experiments.tune.problem import Problem, tuning_data
from locoprop_ref.experiments.tune.result import with_final
from locoprop_ref.experiments.tune.runs import RunWork, run_of, split_file
from locoprop_ref.experiments.tune.space import Values, settings
from locoprop_ref.experiments.tune.study import Search, best_trial
from locoprop_ref.experiments.tune.workers import run_workers
from locoprop_ref.experiments.tuned.record import Tuned

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finals:
    """The finals of studies on one problem.

    Args:
        problem: the whole one.
        folder: holds the runs; commands that use the same folder share them.
        data_dir: folder of the data set's files.
        jobs: runs side by side.
    """

    problem: Problem
    folder: Path
    data_dir: str | None
    jobs: int

    def play_all(self, studies: Mapping[Search, Any], bar: Any) -> dict[Search, Played]:
        """Train what the finals are missing, round by round, until they have ended."""
        best = {search: best_trial(study) for search, study in studies.items()}
        while True:
            runs: list[RunWork] = []
            played = {search: self._play(search, trial, runs) for search, trial in best.items()}
            if runs:
                bar.total = bar.n + len(runs)
                self._train(runs, bar)
                continue
            now = {search: best_trial(study) for search, study in studies.items()}
            if all(now[search].number == trial.number for search, trial in best.items()):
                return played
            for search in studies:
                if now[search].number != best[search].number:
                    log.info("%s: a better trial came in meanwhile, its final begins anew", search.method)
            best = now

    def added(self, record: Tuned, search: Search, played: Played) -> Tuned:
        """Return the record of a study with its final."""
        sha256 = tuning_data(self.problem, self.data_dir).sha256
        return with_final(record, search, self.problem, sha256, played)

    def _play(self, search: Search, best: Any, missing: list[RunWork]) -> Played:
        """Return a final as far as its runs are there, and append those that are missing."""
        data = tuning_data(self.problem, self.data_dir)
        split = split_file(data, self.folder)

        def run(chosen: Values) -> RunWork:
            return run_of(
                search.method, chosen, problem=self.problem, seed=search.seed, split=split,
                sha256=data.sha256, jobs=self.jobs,
            )  # fmt: skip

        played = play(
            search.method,
            settings(best.params),
            settings(search.start()),
            lambda chosen: run(chosen).outcome(),
        )
        missing += map(run, played.missing)
        return played

    def _train(self, runs: Sequence[RunWork], bar: Any) -> None:
        waiting = list(runs)

        def look() -> None:
            for run in tuple(waiting):
                outcome = run.outcome()
                if outcome:
                    waiting.remove(run)
                    log.info("%s", run.describe(outcome))
                    bar.update()

        if self.jobs == 1:
            for run in runs:
                run.run()
                look()
        else:
            lost = "a worker was killed, its run goes on from the last complete epoch"
            run_workers(runs, self.jobs, missing=lambda: len(waiting), tick=look, lost=lost)

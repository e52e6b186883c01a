"""The finals of studies: their missing runs, round by round, one after the other or side by side."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locoprop_ref.experiments.tune.final import Played, play
from locoprop_ref.experiments.tune.problem import Problem, tuning_data
from locoprop_ref.experiments.tune.runs import RunWork, run_of, split_file
from locoprop_ref.experiments.tune.space import Values, settings
from locoprop_ref.experiments.tune.study import Study
from locoprop_ref.experiments.tune.workers import run_workers

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

    @property
    def sha256(self) -> str:
        """The hash of the data."""
        return tuning_data(self.problem, self.data_dir).sha256

    def play_all(self, studies: Sequence[Study], bar: Any) -> list[Played]:
        """Train what the finals are missing, round by round, until they have ended."""
        split = split_file(tuning_data(self.problem, self.data_dir), self.folder)
        best = [study.best() for study in studies]
        while True:
            missing: list[RunWork] = []
            played = [self._play(*of, split, missing) for of in zip(studies, best, strict=True)]
            if missing:
                self._train(missing, bar)
                continue
            before, best = best, [study.best() for study in studies]
            changed = [
                s for s, old, new in zip(studies, before, best, strict=True) if old.number != new.number
            ]
            if not changed:
                return played
            for study in changed:
                log.info("%s: a better trial came in meanwhile, its final begins anew", study.search.method)

    def _play(self, study: Study, best: Any, split: Path, missing: list[RunWork]) -> Played:
        """Return a final as far as its runs are there, and append those that are missing."""
        search = study.search

        def run(chosen: Values) -> RunWork:
            config = self.problem.config(search.method, seed=search.seed, **chosen)
            return run_of(search.method, chosen, config, split=split, sha256=self.sha256, jobs=self.jobs)

        start = settings(search.start())
        played = play(search.method, settings(best.params), start, lambda chosen: run(chosen).outcome())
        missing += map(run, played.missing)
        return played

    def _train(self, runs: Sequence[RunWork], bar: Any) -> None:
        waiting = list(runs)
        bar.total += len(runs)

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

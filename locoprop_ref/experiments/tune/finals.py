"""The finals of studies: their runs are processes of `locoprop-ref train`, judged on the held-out images.

The images to train on and the held-out ones are written once, as an NPZ. Beside it stand a run file for every
candidate, named by a hash of its configuration, and its checkpoint until it has ended.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref.data import Dataset
from locoprop_ref.data.files import file_lock, write_atomically
from locoprop_ref.experiments.compare.one_run import Run, absolute
from locoprop_ref.experiments.pool import Finished, run_processes
from locoprop_ref.experiments.tune.final import Outcome, Played, play
from locoprop_ref.experiments.tune.problem import Problem, tuning_data
from locoprop_ref.experiments.tune.space import Values, in_words, settings
from locoprop_ref.experiments.tune.study import Search, Study
from locoprop_ref.experiments.tune.workers import watch
from locoprop_ref.experiments.tuned.record import Final
from locoprop_ref.training import DIVERGENCE
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import as_json

log = logging.getLogger(__name__)

# seconds between two looks at runs that other commands are at
INTERVAL = 1.0


@dataclass(frozen=True)
class FinalRun(Run):
    """The run of a candidate.

    Args:
        settings: the candidate.
        sha256: hash of the data.
    """

    settings: Values
    sha256: str

    @property
    def name(self) -> str:
        """The name of the run file, which is that of its process too."""
        return self.out.stem

    def outcome(self) -> Outcome | None:
        """Return how the run ended, None where it has not. A diverged run counts as in `objective`.

        Raises:
            ValueError, OSError: the run file cannot be read, or is of other data.
        """
        run = self.on_disk()
        if run is None:
            return None
        if run["data"].get("sha256") != self.sha256:
            raise ValueError(f"{self.out} must be a run on the held-out split, got one on other data")
        first, last = (next(iter(run["epochs"][n]["test"].values())) for n in (0, -1))
        if run["status"] == "diverged":
            return Outcome(DIVERGENCE * first, diverged=True)
        return Outcome(last, diverged=False) if run["status"] == "finished" else None

    def describe(self, outcome: Outcome) -> str:
        """Return how the run ended, as a line for the user."""
        ending = "diverged" if outcome.diverged else f"held-out loss {outcome.loss:.6g}"
        return f"{self.entry} final: {ending}; {in_words(self.settings)}"

    @property
    def lock(self) -> Path:
        """What the command holds whose run it is; `train` has a lock of its own."""
        return self.out.with_name(f".{self.out.stem}.taken.lock")

    def take(self, taken: ExitStack) -> bool:
        """Lock the run until `taken` is closed; return whether it is this command's, and has not ended."""
        try:
            taken.enter_context(file_lock(self.lock, "taken"))
        except BlockingIOError:
            return False
        return self.outcome() is None


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
    def data(self) -> Dataset:
        """The images to train on, and the held-out ones."""
        return tuning_data(self.problem, self.data_dir)

    def split(self) -> Path:
        """Write the images as an NPZ for `train`, unless it is there; return its path."""
        x, held_out = self.data.x_train, self.data.x_test
        path = self.folder / f"held-out-{self.data.sha256[:12]}.npz"
        if not path.exists():
            write_atomically(path, lambda file: np.savez(file, x_train=x, x_test=held_out))
        return path

    def play_all(self, studies: Sequence[Study], bar: Any) -> list[Final]:
        """Train what the finals are missing, round by round, until they have ended; return their records."""
        best = [self.choice(study) for study in studies]
        while True:
            played = [self._play(*of) for of in zip(studies, best, strict=True)]
            missing = [
                self.run_of(study.search, chosen)
                for study, final in zip(studies, played, strict=True)
                for chosen in final.missing
            ]
            self.train(missing, bar)
            before, best = best, [self.choice(study) for study in studies]
            pairs = zip(studies, before, best, strict=True)
            changed = [study for study, old, new in pairs if old.number != new.number]
            for study in changed:
                log.info("%s: a better trial came in meanwhile, its final begins anew", study.search.method)
            if not (missing or changed):
                problem = self.problem.record(self.data.sha256)
                return [final.record(problem) for final in played]

    def choice(self, study: Study) -> Any:
        """Return the trial whose settings begin the final."""
        return study.best()

    def beside(self, study: Study) -> list[Values]:
        """Return the settings that are tried beside the best ones: those that the search began with."""
        return [settings(study.search.start())]

    def run_of(self, search: Search, chosen: Values) -> FinalRun:
        """Return the run of a candidate, beside its data, named by a hash of all that decides its result."""
        split, sha256 = self.split(), self.data.sha256
        options = self.problem.options(search.method, seed=search.seed, **chosen)
        decides = json.dumps([as_json(resolve(**options | {"data": split.name})), sha256], sort_keys=True)
        name = f"{search.method}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}.json"
        where = {"data": absolute(str(split))}
        return FinalRun(search.method, search.seed, options | where, split.with_name(name), chosen, sha256)

    def _play(self, study: Study, best: Any) -> Played:
        """Return a final as far as its runs are there."""
        found, beside = settings(best.params), self.beside(study)
        return play(study.search.method, found, beside, lambda c: self.run_of(study.search, c).outcome())

    def train(self, runs: Sequence[FinalRun], bar: Any) -> None:
        """Train runs, or wait for other commands that do, until all have ended.

        Raises:
            ChildProcessError: see `watch`.
            KeyboardInterrupt: passed on; every complete epoch is kept.
        """
        waiting = list(runs)
        bar.total += len(runs)

        def look() -> None:
            for run in tuple(waiting):
                outcome = run.outcome()
                if outcome:
                    waiting.remove(run)
                    log.info("%s", run.describe(outcome))
                    bar.update()

        lost = "a worker was killed, its run goes on from the last complete epoch"
        watch(self._stopped(waiting, look), missing=lambda: len(waiting), lost=lost)

    def free(self, runs: Sequence[FinalRun], locks: ExitStack) -> list[FinalRun]:
        """Lock runs that no other command is at, until `locks` is closed; return those that have not ended.

        One job takes one run at a time, so that other commands can train the next ones; several jobs take
        all, so that no core waits for the slowest of a few.
        """
        taken = (run for run in runs if run.take(locks))
        return list(islice(taken, 1 if self.jobs == 1 else None))

    def _stopped(
        self, waiting: Sequence[FinalRun], look: Callable[[], None]
    ) -> Generator[Finished, None, None]:
        """Train until `look` has taken every run out of `waiting`; yield processes that stopped too early."""
        while waiting:
            with ExitStack() as locks:
                runs = {run.name: run for run in self.free(waiting, locks)}
                commands = [run.command(self.jobs, None) for run in runs.values()]
                with closing(run_processes(commands, jobs=self.jobs, tick=look)) as processes:
                    for process in processes:
                        look()
                        run = runs[process.command.name]
                        if run.is_done():  # whole networks would fill the disk
                            run.out.with_suffix(".npz").unlink(missing_ok=True)
                        else:
                            yield process
            if not runs:
                time.sleep(INTERVAL)
            look()

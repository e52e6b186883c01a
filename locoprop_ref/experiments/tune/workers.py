"""The trials that studies are missing, run by worker processes: started, watched, replaced when killed."""

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

import msgspec

from locoprop_ref.experiments.pool import Command, Finished, own_command, run_processes
from locoprop_ref.experiments.tune.study import Study
from locoprop_ref.experiments.tune.timed import timed_in_words
from locoprop_ref.experiments.tune.trials import Work

log = logging.getLogger(__name__)

# the environment variable that tells a worker its work. Its command line would show a storage's password
WORK_VARIABLE = "LOCOPROP_REF_TUNE_WORK"
# after so many processes in a row were killed, the command gives up
MOST_KILLED = 4
_INTERRUPTED = 130
# seconds between two looks at the storage
INTERVAL = 2.0
_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def run_trials(studies: Sequence[Study], work: Work, jobs: int, bar: Any) -> None:
    """Run the trials that studies are missing, in this process or in several others.

    Args:
        studies: to run trials of.
        work: what says where they are; its searches may be more.
        jobs: processes side by side; a single job is done here.
        bar: of tqdm; it counts trials and the runs of finals.

    Raises:
        ChildProcessError: see `watch`.
        ValueError, OSError, KeyboardInterrupt: as `Work.run`.
    """
    work = msgspec.structs.replace(work, searches=tuple(study.search for study in studies))
    progress = Progress(studies, bar)
    while missing := progress.missing():
        if jobs == 1:
            work.run(after_trial=lambda: progress.look(at_once=True))
        else:
            lost = "a worker was killed, its trial is marked failed and does not count"
            watch(workers(work, jobs, tick=progress.look), missing=progress.missing, lost=lost)
        progress.look(at_once=True)
        if progress.missing() == missing:
            time.sleep(1)  # other commands are at the last trials


def workers(work: Work, jobs: int, *, tick: Callable[[], None]) -> Generator[Finished, None, None]:
    """Run processes that do this work, `jobs` at a time; yield them as they end.

    A further process takes the place of one that ends, `MOST_KILLED` in all. It ends at once where nothing is
    left to do.

    Args:
        work: what they do; each prefers another study.
        jobs: processes side by side, each on its share of the cores.
        tick: called twice a second.
    """
    indices = range(jobs + MOST_KILLED)
    commands = [worker_command(msgspec.structs.replace(work, index=index)) for index in indices]
    return run_processes(commands, jobs=jobs, tick=tick)


def worker_command(work: Work) -> Command:
    """Return the command of a process that does this work: `locoprop-ref tune`, with a hidden option."""
    return own_command("tune", "tune", "--as-worker", **{WORK_VARIABLE: msgspec.json.encode(work).decode()})


def run_as_worker() -> None:
    """Do the work that `worker_command` gave to this process.

    Raises:
        ValueError: this process was not started by `worker_command`.
        ValueError, OSError, KeyboardInterrupt: as `Work.run`.
    """
    work = os.environ.pop(WORK_VARIABLE, None)
    if work is None:
        raise ValueError("as_worker is for the processes that tune starts for its jobs, got no work for one")
    msgspec.json.decode(work, type=Work).run()


def watch(processes: Generator[Finished, None, None], *, missing: Callable[[], int], lost: str) -> None:
    """Go through processes as they end, until nothing is missing or all have ended; then end the others.

    Args:
        processes: from `run_processes`.
        missing: returns how many trials or runs are still to be done.
        lost: what is logged where one was killed.

    Raises:
        ChildProcessError: one reported an error, or `MOST_KILLED` in a row were killed.
        KeyboardInterrupt: passed on; the processes were told to end.
    """
    killed, before = 0, missing()
    with closing(processes):
        for process in processes:
            now = missing()
            killed, before = (killed if now == before else 0), now
            if process.return_code < 0 or process.return_code == _INTERRUPTED:
                killed += 1
                log.info("%s", lost)
            elif process.return_code:
                raise ChildProcessError(process.reason)
            if killed >= MOST_KILLED:
                raise ChildProcessError(f"{killed} workers were killed in a row: too little memory?")
            if not now:
                return


class Progress:
    """The trials of studies as the storage shows them: other commands may be working on them too.

    Args:
        studies: to look at.
        bar: of tqdm; it counts trials and the runs of finals.
    """

    def __init__(self, studies: Sequence[Study], bar: Any) -> None:
        self.studies, self.bar, self.looked = studies, bar, 0.0
        self.ended = {study.search: {t.number for t in study.trials(*_ENDED)} for study in studies}

    def missing(self) -> int:
        """Return how many trials are still needed."""
        return sum(study.missing() for study in self.studies)

    def look(self, *, at_once: bool = False) -> None:
        """Mark dead trials failed, and log the trials that have ended: every few seconds, or `at_once`."""
        if not at_once and time.monotonic() - self.looked < INTERVAL:
            return
        for study in self.studies:
            study.fail_dead_trials()
            ended = self.ended[study.search]
            for trial in study.trials(*_ENDED):
                if trial.number not in ended:
                    ended.add(trial.number)
                    log.info("%s trial %d: %s", study.search.method, trial.number, describe(trial))
                    self.bar.update(trial.state.name != "FAIL")
        self.looked = time.monotonic()


def describe(trial: Any) -> str:
    """Return how a trial ended, in words."""
    epochs = max(trial.intermediate_values, default=0)
    loss = trial.intermediate_values.get(epochs, float("nan"))
    if trial.state.name == "FAIL":
        return "marked failed, because its process died or did not answer; it does not count"
    if "timed" in trial.user_attrs:
        ending = timed_in_words(trial.user_attrs["timed"])
    elif "diverged" in trial.user_attrs:
        ending = f"diverged after epoch {epochs}"
    elif trial.state.name == "PRUNED":
        ending = f"pruned after epoch {epochs} at {loss:.6g}"
    else:
        ending = f"held-out loss {loss:.6g}"
    return f"{ending}, {trial.duration.total_seconds():.1f} s"

"""Trials side by side: worker processes, each on its share of the cores; or one after the other, right here.

Every worker is an executor of its own, so that one that is killed takes no other with it.
"""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Protocol

from locoprop_ref.backend import keep_to_cores
from locoprop_ref.tune.study import Outcome, Task, run_trial

# so many workers killed one after the other, and the command gives up
MOST_KILLED = 4


class Search(Protocol):
    """What decides on trials, and is told how they end."""

    def choose(self, at_work: list[str]) -> Task | None:
        """Return the study to serve next, given the contestants whose trials are running, or None."""

    def report(self, outcome: Outcome) -> None:
        """Take note of a trial that has ended."""

    def lost(self, task: Task) -> None:
        """Take note that the worker of a trial was killed."""


def run_all(search: Search, jobs: int) -> None:
    """Run trials until there is none left to choose.

    Args:
        search: what chooses.
        jobs: how many trials at a time; 1 runs them in this process.

    Raises:
        ChildProcessError: `MOST_KILLED` workers were killed in a row.
        KeyboardInterrupt, Exception: what a trial raised; the others are stopped and marked failed.
    """
    if jobs > 1:
        _side_by_side(search, jobs)
        return
    while (task := search.choose([])) is not None:
        search.report(run_trial(task, alone=True))


def _side_by_side(search: Search, jobs: int) -> None:
    workers, killed = [_Worker(index, jobs) for index in range(jobs)], 0
    running: dict[Future[Outcome], tuple[_Worker, Task]] = {}
    try:
        while True:
            _give_work(search, workers, running)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker, task = running.pop(future)
                try:
                    search.report(future.result())
                    killed = 0
                except BrokenProcessPool:
                    killed += 1
                    worker.restart()
                    search.lost(task)
            if killed == MOST_KILLED:
                raise ChildProcessError(f"{killed} workers were killed in a row: too little memory?")
    finally:
        for worker in workers:
            worker.stop()


def _give_work(
    search: Search, workers: "list[_Worker]", running: "dict[Future[Outcome], tuple[_Worker, Task]]"
) -> None:
    busy = [worker for worker, _ in running.values()]
    for worker in (w for w in workers if w not in busy):
        at_work = [task.contestant for _, task in running.values()]
        task = search.choose(at_work)
        if task is not None:
            running[worker.submit(task, alone=task.contestant not in at_work)] = (worker, task)


class _Worker:
    """A process that runs one trial at a time."""

    def __init__(self, index: int, jobs: int) -> None:
        self.index, self.jobs = index, jobs
        self.restart()

    def restart(self) -> None:
        """Start the process."""
        self.pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self.index, self.jobs),
        )
        self.process = self.pool.submit(os.getpid)

    def submit(self, task: Task, *, alone: bool) -> Future[Outcome]:
        """Begin a trial."""
        try:
            return self.pool.submit(run_trial, task, alone, signal.SIGTERM)
        except BrokenProcessPool:  # killed while it was idle
            self.restart()
            return self.pool.submit(run_trial, task, alone, signal.SIGTERM)

    def stop(self) -> None:
        """Stop the process; a trial that it is at is marked failed."""
        with suppress(BrokenProcessPool, OSError):
            os.kill(self.process.result(), signal.SIGTERM)
        self.pool.shutdown(cancel_futures=True)


def _begin(index: int, jobs: int) -> None:
    """Begin a worker process: its cores, its signals, its end."""
    # Ctrl-C reaches the whole group: the command hears it, and ends the running trials by SIGTERM
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_to_cores(index, jobs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Trials side by side in worker processes; or one after the other, right here.

A worker that is told to stop ends its trial as failed.
"""

import signal
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from locoprop_ref.experiments.tune.study import Outcome, Task, run_trial
from locoprop_ref.experiments.worker import Worker

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
    workers, killed = [Worker(index, jobs) for index in range(jobs)], 0
    running: dict[Future[Outcome], tuple[Worker, Task]] = {}
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
            if killed >= MOST_KILLED:
                raise ChildProcessError(f"{killed} workers were killed in a row: too little memory?")
    finally:
        for worker in workers:
            worker.stop(at_once=bool(running))


def _give_work(
    search: Search, workers: list[Worker], running: dict[Future[Outcome], tuple[Worker, Task]]
) -> None:
    busy = [worker for worker, _ in running.values()]
    for worker in (w for w in workers if w not in busy):
        at_work = [task.contestant for _, task in running.values()]
        task = search.choose(at_work)
        if task is not None:
            alone = task.contestant not in at_work
            running[worker.submit(run_trial, task, alone, signal.SIGTERM)] = (worker, task)

"""Trials side by side: worker processes, each on its share of the cores; or one after the other, right here.

Every worker is an executor of its own, so that one that is killed takes no other with it.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

from locoprop_ref.backend import keep_to_cores
from locoprop_ref.tune.study import Outcome, Task, run_trial

Choose = Callable[[list[str]], Task | None]
Report = Callable[[Outcome | str], None]

# so many workers killed one after the other, and the command gives up
MOST_KILLED = 4


def run_all(choose: Choose, report: Report, jobs: int) -> None:
    """Run trials until there is none left to choose.

    Args:
        choose: given the contestants whose trials are running, returns the next study to serve, or None.
        report: is given every outcome, and a sentence where a worker was killed.
        jobs: how many trials at a time; 1 runs them in this process.

    Raises:
        KeyboardInterrupt, Exception: what a trial raised; the others are stopped and marked failed.
    """
    if jobs > 1:
        _side_by_side(choose, report, jobs)
        return
    while (task := choose([])) is not None:
        report(run_trial(task, alone=True))


def _side_by_side(choose: Choose, report: Report, jobs: int) -> None:
    workers, killed = [_Worker(index, jobs) for index in range(jobs)], 0
    running: dict[Future[Outcome], tuple[_Worker, Task]] = {}
    try:
        while True:
            busy = [worker for worker, _ in running.values()]
            for worker in (w for w in workers if w not in busy):
                at_work = [task.contestant for _, task in running.values()]
                task = choose(at_work)
                if task is not None:
                    future = worker.pool.submit(_work, task, task.contestant not in at_work)
                    running[future] = (worker, task)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker, task = running.pop(future)
                try:
                    report(future.result())
                    killed = 0
                except BrokenProcessPool:
                    killed += 1
                    if killed > MOST_KILLED:
                        raise ChildProcessError(
                            f"{killed} workers in a row were killed, the last one in a trial of "
                            f"{task.contestant}: too little memory?"
                        ) from None
                    report(
                        f"a worker was killed in a trial of {task.contestant}, which will be marked failed"
                    )
                    worker.restart()
    finally:
        for worker in workers:
            worker.stop()


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


def _work(task: Task, alone: bool) -> Outcome:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run_trial(task, alone)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

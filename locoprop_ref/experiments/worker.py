"""A process that makes one call at a time on its share of the cores; when it dies, only its call is lost.

`concurrent.futures` gives up every process of a pool when one dies; so each worker is a pool of its own.
Ctrl-C reaches the command alone: workers do not hear it, and end, when told to, by SIGTERM. They end with
the command too, however it ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

from locoprop_ref.parallel import keep_to_cores


class Worker:
    """A process that makes one call at a time.

    Args:
        index: 0, ..., jobs − 1: which share of the cores it is kept to.
        jobs: how many workers there are; a single one has all cores, and the BLAS threads of the environment.
    """

    def __init__(self, index: int, jobs: int) -> None:
        self.index, self.jobs = index, jobs
        self._start()

    def _start(self) -> None:
        self.pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),  # threads and BLAS do not survive a fork
            initializer=_begin,
            initargs=(self.index, self.jobs),
        )
        with _ignoring_interrupts():
            self.process = self.pool.submit(os.getpid)

    def restart(self) -> None:
        """Start another process in place of one that has died."""
        self.pool.shutdown(wait=True)
        self._start()

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        """Begin a call; a process that died while it was idle is replaced."""
        try:
            return self.pool.submit(call, *args)
        except BrokenProcessPool:
            self.restart()
            return self.pool.submit(call, *args)

    def stop(self, *, at_once: bool) -> None:
        """End the process: after its call, or now, by SIGTERM."""
        if at_once:
            with suppress(BrokenProcessPool, OSError):
                os.kill(self.process.result(), signal.SIGTERM)
        self.pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Start a process that does not hear Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(index: int, jobs: int) -> None:
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own lock between processes outlives a process that is killed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if jobs > 1:
        keep_to_cores(index, jobs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

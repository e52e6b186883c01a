"""Calls in processes of their own, each kept to its share of the cores; one that dies takes no other with it.

Ctrl-C reaches the command alone, which tells its workers to end: the call under way gets a KeyboardInterrupt,
so that a training run still writes "interrupted" into its file. Workers end with a command that is killed.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from locoprop_ref.backend import keep_to_cores

DIED = "its process died (killed, or out of memory); what was complete is kept"


def in_workers(
    calls: Mapping[str, Callable[[], Any]],
    jobs: int,
    *,
    ended: Callable[[str, Any], None],
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Run calls in worker processes, in their order, as many side by side as there are jobs.

    Args:
        calls: by name; functions of a module, or `functools.partial` of them.
        jobs: processes side by side.
        ended: called here with the name of every call that has ended and its result or its exception;
            ChildProcessError where the process died.
        tick: called here twice a second.

    Raises:
        KeyboardInterrupt: passed on, after the workers have ended.
    """
    waiting = list(calls)
    workers = [_Worker(index, jobs) for index in range(min(jobs, len(waiting)))]
    running: dict[Future, tuple[_Worker, str]] = {}
    interrupted = True
    try:
        while waiting or running:
            for worker in workers:
                if waiting and worker not in [busy for busy, _ in running.values()]:
                    name = waiting.pop(0)
                    running[worker.submit(calls[name])] = (worker, name)
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: running[f][1]):
                worker, name = running.pop(future)
                ended(name, worker.result(future))
            tick()
        interrupted = False
    finally:
        for worker in workers:
            worker.stop(at_once=interrupted)


class _Worker:
    """A process that runs one call at a time."""

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

    def _start_again(self) -> None:
        self.pool.shutdown(wait=True)
        self._start()

    def submit(self, call: Callable[[], Any]) -> Future:
        """Begin a call; a process that has died is replaced."""
        try:
            return self.pool.submit(_run, call)
        except BrokenProcessPool:
            self._start_again()
            return self.pool.submit(_run, call)

    def result(self, future: Future) -> Any:
        """Return what a call returned or raised; after the process died, start another."""
        try:
            return future.result()
        except BrokenProcessPool:
            self._start_again()
            return ChildProcessError(DIED)
        except Exception as error:
            return error

    def stop(self, *, at_once: bool) -> None:
        """End the process: after its call, or now."""
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
    if jobs > 1:  # alone it has all cores, and the BLAS threads of the environment
        keep_to_cores(index, jobs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(call: Callable[[], Any]) -> Any:
    """Run a call in a worker; when it is told to end, the call is interrupted, and then the process ends."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return call()
    except KeyboardInterrupt:
        os._exit(130)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt

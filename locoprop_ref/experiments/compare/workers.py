"""Calls side by side in worker processes; one that dies takes no other with it.

A worker that is told to end interrupts its call with KeyboardInterrupt, so that a training run still writes
"interrupted" into its file.
"""

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NoReturn

from locoprop_ref.experiments.worker import Worker

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
    workers = [Worker(index, jobs) for index in range(min(jobs, len(waiting)))]
    running: dict[Future, tuple[Worker, str]] = {}
    interrupted = True
    try:
        while waiting or running:
            for worker in workers:
                if waiting and worker not in [busy for busy, _ in running.values()]:
                    name = waiting.pop(0)
                    running[worker.submit(_run, calls[name])] = (worker, name)
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: running[f][1]):
                worker, name = running.pop(future)
                ended(name, _result(worker, future))
            tick()
        interrupted = False
    finally:
        for worker in workers:
            worker.stop(at_once=interrupted)


def _result(worker: Worker, future: Future) -> Any:
    """Return what a call returned or raised; after the process died, start another."""
    try:
        return future.result()
    except BrokenProcessPool:
        worker.restart()
        return ChildProcessError(DIED)
    except Exception as error:
        return error


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

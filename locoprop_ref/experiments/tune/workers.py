"""Worker processes: how one that runs trials is started, and what follows when a process is killed."""

import logging
import os
from collections.abc import Callable, Generator
from contextlib import closing

import msgspec

from locoprop_ref.experiments.pool import Command, Finished, own_command, run_processes
from locoprop_ref.experiments.tune.trials import Work

log = logging.getLogger(__name__)

# the environment variable that tells a worker its work. Its command line would show a storage's password
WORK_VARIABLE = "LOCOPROP_REF_TUNE_WORK"
# after so many processes in a row were killed, the command gives up
MOST_KILLED = 4
_INTERRUPTED = 130


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

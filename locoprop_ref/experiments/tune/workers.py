"""Worker processes for trials and for the runs of finals: started, watched, replaced when killed."""

import logging
import sys
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import msgspec

from locoprop_ref.experiments.pool import Command, Finished, run_processes
from locoprop_ref.experiments.tune.runs import RunWork
from locoprop_ref.experiments.tune.trials import TrialsWork

log = logging.getLogger(__name__)

# the environment variable that tells a worker its work. Its command line would show a storage's password
WORK_VARIABLE = "LOCOPROP_REF_TUNE_WORK"
# after so many workers in a row were killed, the command gives up
MOST_KILLED = 4
_INTERRUPTED = 130

Work = TrialsWork | RunWork


def run_workers(
    works: Sequence[Work], jobs: int, *, missing: Callable[[], int], tick: Callable[[], None], lost: str
) -> None:
    """Run a process for each work, `jobs` at a time, until nothing is missing or all have ended.

    Some works are given to a further process, in place of those that are killed. It ends at once where
    nothing is left to do.

    Args:
        works: one for each process.
        jobs: processes side by side, each on its share of the cores.
        missing: returns how many trials or runs are still to be done.
        tick: called twice a second.
        lost: what is logged where a worker was killed.

    Raises:
        ChildProcessError: a worker reported an error, or `MOST_KILLED` workers in a row were killed.
        KeyboardInterrupt: passed on; the workers were told to end.
    """
    killed, before = 0, missing()
    commands = [_command(work) for work in (*works, *islice(cycle(works), MOST_KILLED))]
    for process in run_processes(commands, jobs=jobs, tick=tick):
        tick()
        now = missing()
        killed, before = (killed if now == before else 0), now
        if _was_killed(process):
            killed += 1
            log.info("%s", lost)
        if killed >= MOST_KILLED:
            raise ChildProcessError(f"{killed} workers were killed in a row: too little memory?")
        if not now:
            return


def _was_killed(process: Finished) -> bool:
    if process.return_code < 0 or process.return_code == _INTERRUPTED:
        return True
    if process.return_code:
        raise ChildProcessError(process.reason)
    return False


def _command(work: Work) -> Command:
    arguments = [sys.executable, "-m", "locoprop_ref.experiments.tune"]
    return Command("tune", arguments, {WORK_VARIABLE: msgspec.json.encode(work).decode()})

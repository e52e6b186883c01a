"""Child processes side by side, each on its share of the cores: started and watched by a few threads.

A child that is killed is one failed command, and the others go on. Ctrl-C reaches the command alone, because
every child has a session of its own; the children are then told to end by SIGTERM, which interrupts them as
Ctrl-C would. A child also ends when its parent has died, however that happened: its standard input is a pipe
from the parent, and the end of that file is the parent's end. The child's half of this is `begin_as_child`,
which the command line calls first.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from locoprop_ref import checks

# set in the environment of every child
CHILD_VARIABLE = "LOCOPROP_REF_CHILD"
# how many threads the BLAS libraries start
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
LAST_LINES = 20
# beyond which processes side by side are a mistake on any machine: each takes a thread and some 100 MB here
MOST_JOBS = 1000
SECONDS_BETWEEN_TICKS = 0.5
DIED = "its process died (killed, or out of memory); what was complete is kept"


@dataclass(frozen=True)
class Command:
    """A process to start: its name for the user, its argument vector, and variables of its environment."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit status, negative for a signal, and its last lines on standard error."""

    command: Command
    return_code: int
    last_lines: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it failed, as one sentence: what the process said last, or that it was killed.

        >>> Finished(Command("a", ["false"]), 2, ("locoprop-ref train: epochs must be given",)).reason
        'epochs must be given'
        >>> Finished(Command("a", ["false"]), -9, ()).reason
        'its process died (killed, or out of memory); what was complete is kept'
        >>> Finished(Command("a", ["true"]), 0, ()).reason
        'its process ended with exit status 0'
        """
        if self.return_code < 0:
            return DIED
        lines = [line.strip() for line in self.last_lines if line.strip()]
        if not lines:
            return f"its process ended with exit status {self.return_code}"
        before, separator, after = lines[-1].partition(": ")
        return after if separator and before.startswith("locoprop-ref") else lines[-1]


def own_command(name: str, *words: object, **environment: str) -> Command:
    """Return the command `locoprop-ref WORDS...` as a process of this interpreter."""
    return Command(name, [sys.executable, "-m", "locoprop_ref", *map(str, words)], environment)


def run_processes(
    commands: Sequence[Command],
    *,
    jobs: int,
    environment: Mapping[str, str] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Generator[Finished, None, None]:
    """Run commands as child processes, in their order, `jobs` at a time; yield each as it ends.

    With several jobs a child has its share of the cores, and as many BLAS threads; a single one has all cores
    and the BLAS threads of the environment. What the children print on standard output is not kept.

    Args:
        commands: what to start.
        jobs: processes side by side, at most `MOST_JOBS`.
        environment: variables of every child, besides those of this process.
        tick: called here twice a second while nothing ends.

    Raises:
        ValueError, TypeError: jobs is no number of processes.
        OSError: no thread can be started that would watch a child.
        KeyboardInterrupt: passed on, after the children were told to end and have ended. A second Ctrl-C
            kills them and does not wait.
    """
    children = _Children(checks.integer("jobs", jobs, maximum=MOST_JOBS), environment or {})
    threads = ThreadPoolExecutor(jobs)
    try:
        try:
            running = {threads.submit(children.run, command) for command in commands}
        except RuntimeError as error:
            raise OSError(f"jobs must be as many as there are threads for, got {jobs}: {error}") from None
        while running:
            ended, running = wait(running, SECONDS_BETWEEN_TICKS, FIRST_COMPLETED)
            yield from (one.result() for one in ended)
            if not ended:
                tick()
    finally:
        children.stop()
        try:
            threads.shutdown()
        except KeyboardInterrupt:
            children.send(getattr(signal, "SIGKILL", signal.SIGTERM))
            raise


class _Children:
    """The processes that run, each on its share of the cores."""

    def __init__(self, jobs: int, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.several = jobs > 1
        self.free_shares = [_share(index, jobs) for index in reversed(range(jobs))]
        self.running: set[subprocess.Popen[str]] = set()
        self.lock, self.stopping = threading.Lock(), False

    def run(self, command: Command) -> Finished:
        """Start a command on a share that is free, and wait for its end."""
        share = self.free_shares.pop()
        try:
            with self.lock:
                if self.stopping:
                    return Finished(command, -signal.SIGTERM, ())
                process = start(command, {**self._limits(share), **self.environment})
                self.running.add(process)
        except (OSError, ValueError) as error:  # no such program, no memory, a null byte in a word
            return Finished(command, 126, (str(error),))
        else:
            ended = wait_for(process, command)
            self.running.discard(process)
            return ended
        finally:
            self.free_shares.append(share)

    def _limits(self, share: Sequence[int]) -> dict[str, str]:
        """Bind this thread to its share, which its children inherit; return the number of BLAS threads."""
        if not self.several:
            return {}
        with suppress(AttributeError, OSError):  # not every system can bind a thread to cores
            os.sched_setaffinity(0, share)
        return dict.fromkeys(THREAD_VARIABLES, str(len(share)))

    def stop(self) -> None:
        """Tell what runs to end; nothing begins any more."""
        with self.lock:
            self.stopping = True
            self.send(signal.SIGTERM)

    def send(self, number: int) -> None:
        """Send a signal to what runs."""
        for process in tuple(self.running):
            process.send_signal(number)


def _share(index: int, jobs: int) -> list[int]:
    """Return the cores of job `index` of `jobs`; more jobs than cores share them in turn."""
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    return cores[index % len(cores) :: jobs]


def start(command: Command, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start a command in a session of its own; it ends when this process does."""
    return subprocess.Popen(  # noqa: S603 (the argument vectors are our own, and no shell reads them)
        command.arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **environment, **command.environment, CHILD_VARIABLE: "1"},
        start_new_session=True,
    )


def wait_for(process: "subprocess.Popen[str]", command: Command) -> Finished:
    """Wait for a process to end, and keep its last lines on standard error."""
    with process:
        lines = deque(process.stderr or (), LAST_LINES)
        return_code = process.wait()
    return Finished(command, return_code, tuple(line.rstrip() for line in lines))


# in the child -----------------------------------------------------------------------------------------


def begin_as_child() -> None:
    """End with the parent and let SIGTERM interrupt, where this process was started by `run_processes`."""
    if os.environ.pop(CHILD_VARIABLE, None) is None:
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    except RuntimeError as error:
        raise OSError(f"a process of its own needs a thread that ends it with its parent: {error}") from None


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _interrupt(number: int, _frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt

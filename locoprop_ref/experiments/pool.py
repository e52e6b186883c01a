"""Child processes side by side, each on its share of the cores: started and watched by a few threads.

A child that is killed is one failed command, and the others go on. Ctrl-C reaches the command alone, because
every child has a session of its own; the children are then told to end by SIGTERM, which interrupts them as
Ctrl-C would. A child also ends when its parent has died, however that happened: its standard input is a pipe
from the parent, and the end of that file is the parent's end. The child's half of this is `begin_as_child`,
which the command line calls first.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from locoprop_ref import checks

# set in the environment of every child
CHILD_VARIABLE = "LOCOPROP_REF_CHILD"
# how many threads the BLAS libraries start
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
LAST_LINES = 20
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
        jobs: processes side by side.
        environment: variables of every child, besides those of this process.
        tick: called here twice a second while nothing ends.

    Raises:
        KeyboardInterrupt: passed on, after the children were told to end and have ended. A second Ctrl-C
            kills them and does not wait.
    """
    checks.integer("jobs", jobs)
    pool = _Pool(commands, jobs, environment or {})
    try:
        for _ in commands:
            yield pool.next_finished(tick)
    finally:
        pool.stop()


class _Pool:
    """Threads that each start one waiting command after another and wait for its end."""

    def __init__(self, commands: Sequence[Command], jobs: int, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.waiting, self.finished = deque(commands), queue.SimpleQueue[Finished]()
        self.running: set[subprocess.Popen[str]] = set()
        self.lock, self.stopping = threading.Lock(), False
        shares = [_share(index, jobs) for index in range(min(jobs, len(commands)))]
        self.threads = [
            threading.Thread(target=self._work, args=(share, jobs > 1), daemon=True) for share in shares
        ]
        for thread in self.threads:
            thread.start()

    def next_finished(self, tick: Callable[[], None]) -> Finished:
        """Wait for the next command to end."""
        while True:
            with suppress(queue.Empty):
                return self.finished.get(timeout=SECONDS_BETWEEN_TICKS)
            tick()

    def stop(self) -> None:
        """End what still runs, and wait for it."""
        with self.lock:
            self.stopping = True
            self._send(signal.SIGTERM)
        try:
            for thread in self.threads:
                thread.join()
        except KeyboardInterrupt:
            self._send(getattr(signal, "SIGKILL", signal.SIGTERM))
            raise

    def _send(self, number: int) -> None:
        for process in tuple(self.running):
            process.send_signal(number)

    def _work(self, share: Sequence[int], several: bool) -> None:
        limits = {}
        if several:
            limits = dict.fromkeys(THREAD_VARIABLES, str(len(share)))
            with suppress(AttributeError, OSError):  # not every system can bind a thread to cores
                os.sched_setaffinity(0, share)  # of this thread alone; its children inherit it
        with suppress(IndexError):
            while True:
                command = self.waiting.popleft()
                self.finished.put(self._run(command, limits))

    def _run(self, command: Command, limits: Mapping[str, str]) -> Finished:
        try:
            with self.lock:
                if self.stopping:
                    return Finished(command, -signal.SIGTERM, ())
                process = start(command, {**limits, **self.environment})
                self.running.add(process)
        except (OSError, ValueError) as error:  # no such program, no memory, a null byte in a word
            return Finished(command, 126, (str(error),))
        try:
            return wait_for(process, command)
        finally:
            self.running.discard(process)


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
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _interrupt(number: int, _frame: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt

"""Ctrl-C between two steps: recorded when the signal arrives, raised where the work can end cleanly.

Python raises KeyboardInterrupt at whatever instruction is running: inside a half-written archive; between a
lock and the thread that waits for it, which then waits for ever; or in the callback of a weak reference,
where it is lost.
"""

import signal
import threading
from types import TracebackType
from typing import Any

# those by which a machine or a closed terminal ends a process; Windows has no SIGHUP
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def handled_signals() -> tuple[int, ...]:
    """Return which of SIGINT, SIGTERM and SIGHUP have a Python handler (SIGINT has one, unless ignored)."""
    return tuple(n for n in (signal.SIGINT, *_ENDING) if callable(signal.getsignal(n)))


class Interrupts:
    """A context that raises KeyboardInterrupt for a signal at the next `check`, or at the end of the context.

    A second signal raises it at once, for a user who cannot wait for the end of a long step. Only the main
    thread receives signals in Python; in another thread the context changes nothing.

    Args:
        numbers: the signals: `handled_signals()`, or SIGTERM for a worker that ignores Ctrl-C and is told to
            stop by that signal.

    >>> with Interrupts(*handled_signals()) as interrupts:
    ...     for step in range(3):
    ...         interrupts.check()
    """

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.received = numbers, False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Begin to record the signals."""
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._record) for number in self.numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the signals' earlier handlers; raise KeyboardInterrupt if a signal was recorded."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived."""
        if self.received:
            raise KeyboardInterrupt

    def _record(self, *_: Any) -> None:
        self.check()
        self.received = True

"""Ctrl-C between two steps: noted when it comes, raised where the work can be ended cleanly.

Python raises KeyboardInterrupt wherever it happens to be: in a half-written archive, between a lock and the
thread that waits for it, which then waits for ever, or in the callback of a weak reference, where it is lost.
"""

import signal
import threading
from types import TracebackType
from typing import Any


def heard() -> tuple[int, ...]:
    """Return which of SIGINT and SIGTERM raise KeyboardInterrupt here: those that Python handles."""
    return tuple(n for n in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(n)))


class Interrupts:
    """Signals that end the work of this context: where it calls `heed`, or at its end; the second at once.

    In another thread than the main one, where Python delivers no signals, nothing is changed.

    Args:
        numbers: `heard()`; SIGTERM for a worker that ignores Ctrl-C and is told to stop so.

    >>> with Interrupts(*heard()) as interrupts:
    ...     for step in range(3):
    ...         interrupts.heed()
    """

    def __init__(self, *numbers: int) -> None:
        self.numbers, self.noted = numbers, False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Begin to note them."""
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in self.numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the signals do again what they did before; raise KeyboardInterrupt for one that was noted."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if kind is None:
            self.heed()

    def heed(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.noted:
            raise KeyboardInterrupt

    def _note(self, *_: Any) -> None:
        self.heed()  # somebody cannot wait for the end of a long step
        self.noted = True

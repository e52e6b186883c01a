"""Ctrl-C inside a trial: heard where the trial can be ended cleanly, held back where it cannot.

Optuna starts a thread for the heartbeat before the objective and joins it afterwards. An exception at the
wrong moment would leave that thread behind: its trial would look alive, and the process never end.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class Interrupts:
    """A signal that ends a trial: held back within this context, except within `heard`.

    In another thread than the main one, where Python delivers no signals, nothing is changed.

    Args:
        number: SIGINT in the command itself; its workers ignore Ctrl-C and are sent SIGTERM.
    """

    def __init__(self, number: int) -> None:
        self.number, self.noted, self.listening = number, False, False
        self.before: Any = None

    def __enter__(self) -> "Interrupts":
        """Begin to hold the signal back."""
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(self.number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the signal do again what it did before; raise KeyboardInterrupt for one that was held back."""
        if self.before is not None:
            signal.signal(self.number, self.before)
        if self.noted and kind is None:
            raise KeyboardInterrupt

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at once, also for a signal that came before."""
        self.listening = True
        try:
            if self.noted:
                raise KeyboardInterrupt
            yield
        finally:
            self.listening = False

    def _note(self, *_: Any) -> None:
        self.noted = True
        if self.listening:
            self.listening = False
            raise KeyboardInterrupt

"""Ctrl-C between two steps: recorded when the signal arrives, raised where the work can end cleanly."""

import signal
import threading

import pytest
from numpy.testing import assert_equal

from locoprop_ref.training.interrupt import Interrupts, handled_signals


@pytest.fixture(autouse=True)
def handlers_are_left_as_they_were():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert_equal([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before, True)


def test_a_signal_is_raised_at_the_next_check():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts(signal.SIGINT) as interrupts:
        interrupts.check()
        signal.raise_signal(signal.SIGINT)
        reached.append("recorded")
        interrupts.check()
        reached.append("not checked")
    assert_equal(reached, ["recorded"])


def test_a_signal_that_nobody_checked_is_raised_at_the_end():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts(signal.SIGINT):
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")
    assert_equal(reached, ["the end"])


def test_the_second_signal_is_raised_at_once():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts(signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(signal.SIGINT)
        reached.append("recorded")
        signal.raise_signal(signal.SIGTERM)
        reached.append("not raised")
    assert_equal(reached, ["recorded"])


def test_another_error_is_not_hidden():
    with pytest.raises(ValueError, match="mine"), Interrupts(signal.SIGINT):
        signal.raise_signal(signal.SIGINT)
        raise ValueError("mine")


def test_which_signals_python_handles():
    assert_equal(handled_signals(), (signal.SIGINT,))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert_equal(handled_signals(), ())
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_changes_nothing():
    handlers = []

    def work():
        with Interrupts(signal.SIGINT):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert_equal(handlers == [signal.getsignal(signal.SIGINT)], True)

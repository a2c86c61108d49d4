"""Interruptions that Python drops come again, and nothing is printed of the dropped ones."""

import os
import signal
import sys
import threading
import time
import weakref

import pytest

from node_diag.interrupts import TimedOutError, expiring, insistent


class Thing:
    pass


def _wait(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def _interrupt_in_a_callback(raised):
    """Have SIGINT arrive while a weak reference's callback runs, whose exceptions Python drops."""

    def callback(_):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            _wait(0.2)
        except KeyboardInterrupt:
            raised.append(True)
            raise

    thing = Thing()
    keep = weakref.ref(thing, callback)
    del thing  # calls it; a collection of all garbage may take until the next one comes
    return keep


@pytest.fixture
def shown(monkeypatch):
    """What Python would print of exceptions it dropped."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: seen.append(what.exc_type))
    return seen


def test_one_dropped_in_a_callback_comes_again_and_nothing_is_shown(shown):
    raised = []

    def work():
        with insistent():
            _interrupt_in_a_callback(raised)
            raised.append("this line is reached: it was dropped")
            _wait(20)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert len(raised) == 2
    assert shown == []


def test_other_exceptions_that_are_dropped_are_shown(shown):
    with insistent():
        thing = Thing()
        keep = weakref.ref(thing, lambda _: 1 / 0)
        del thing
    del keep
    assert shown == [ZeroDivisionError]


def test_the_time_allowed_goes_on_ending_what_drops_its_end():
    def work():
        with insistent(), expiring(0.05):
            try:
                _wait(10)
            except TimedOutError:  # as a callback would lose it
                _wait(10)

    with pytest.raises(TimedOutError):
        work()


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with insistent():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before


def test_outside_the_main_thread_nothing_is_touched():
    found = []

    def work():
        with insistent(), expiring(0.01):
            time.sleep(0.05)
            found.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["done"]

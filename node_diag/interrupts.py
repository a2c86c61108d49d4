"""Ctrl-C, and the end of the time allowed, that are not lost.

Python drops exceptions raised inside weak-reference callbacks, finalizers and autograd hooks, and a
KeyboardInterrupt may well land in one while counting is on. So it is raised again, twice a second,
until it gets through to the top.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN = 0.5
"""Seconds after which an exception that was dropped is raised again."""


class TimedOutError(KeyboardInterrupt):
    """The time allowed is over. It passes wherever Ctrl-C does."""


_pending: list[type[KeyboardInterrupt]] = []
"""What SIGALRM raises; empty while nothing is to be raised."""


def can_interrupt() -> bool:
    """Whether signals can end what this thread does."""
    main = threading.current_thread() is threading.main_thread()
    return main and hasattr(signal, "SIGALRM")


@contextmanager
def insistent(*, to_ctrl_c: bool = True) -> Generator[None]:
    """Inside it, SIGINT raises KeyboardInterrupt until one arrives outside.

    Args:
        to_ctrl_c: leave SIGINT as it is if not, for :func:`expiring` alone.
    """
    if not can_interrupt():
        yield
        return
    before = [(signal.SIGALRM, signal.signal(signal.SIGALRM, _alarm))]
    if to_ctrl_c:
        before.append((signal.SIGINT, signal.signal(signal.SIGINT, _interrupt)))
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda what: _dropped(what, unraisable)
    try:
        yield
    finally:
        calm()
        sys.unraisablehook = unraisable
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def expiring(seconds: float) -> Generator[None]:
    """Inside it, TimedOutError is raised once the seconds are over, until one arrives outside.

    For use inside :func:`insistent`; Ctrl-C that arrives meanwhile goes on being raised.
    """
    if not can_interrupt():
        yield
        return
    _pending[:] = [TimedOutError]
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if KeyboardInterrupt not in _pending:
            calm()


def calm() -> None:
    """Raise nothing any more."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    _pending.clear()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    _pending[:] = [KeyboardInterrupt]
    signal.setitimer(signal.ITIMER_REAL, AGAIN)
    raise KeyboardInterrupt


def _alarm(number: int, frame: FrameType | None) -> None:
    del number, frame
    if _pending:  # else it fired while it was being switched off
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise _pending[0]


def _dropped(what: Any, show: Callable[[Any], object]) -> None:
    """Say nothing of an interruption that Python dropped: it is about to come again."""
    if not (_pending and issubclass(what.exc_type, KeyboardInterrupt)):
        show(what)

"""Ctrl-C that is not lost.

Python drops exceptions raised inside weak-reference callbacks, finalizers and autograd hooks, and a
KeyboardInterrupt may well land in one while counting is on. So it is raised again, twice a second,
until it gets through to the top.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def insistent() -> Generator[None]:
    """Inside it, SIGINT raises KeyboardInterrupt until one arrives outside."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    before = [(number, signal.signal(number, _raise)) for number in (signal.SIGINT, signal.SIGALRM)]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before:
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    del number, frame
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    raise KeyboardInterrupt

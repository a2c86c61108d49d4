"""``--timeout``: a check that does not end is ended, and says where it was."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from node_diag import parallel
from node_diag.errors import ProblemError, own_frames
from node_diag.interrupts import TimedOutError, can_interrupt, expiring

GRACE = 5.0
"""Seconds for the interpreter to see the signal; what runs outside it, or catches everything, is
ended from another thread then."""

_CALLERS = {
    "_import": "on import",
    "_call": "in the function that makes the problem",
    "loss_of": "in the loss",
    "_contained": "in the gradient method",
    "_value": "in f",
}
"""Functions of node-diag that call a person's code, the innermost of which says what it was."""


@contextmanager
def deadline(
    seconds: float | None,
    stage: Callable[[], str],
    who: str = "",
    end: Callable[[str], None] | None = None,
) -> Generator[None]:
    """Let what is inside take so many seconds; None: as long as it likes.

    Args:
        seconds: the time allowed.
        stage: says what is going on, for the message.
        who: the problem, for a message that has to be written from here.
        end: ends this process with that message, from another thread; by default on stderr, with
            the exit code 2.

    Raises:
        ProblemError: the time is over. Children that shared the work are gone.
    """
    if seconds is None:
        yield
        return
    late = seconds + GRACE if can_interrupt() else seconds

    def expired() -> None:
        parallel.end_children()
        (end or _end)(f"{who}{_sentence(seconds, stage())}")

    watchdog = threading.Timer(late, expired)
    watchdog.daemon = True
    watchdog.start()
    try:
        with expiring(seconds):
            yield
    except TimedOutError as error:
        raise ProblemError(_sentence(seconds, stage(), _place(error))) from None
    finally:
        watchdog.cancel()
        parallel.end_children()


def _sentence(seconds: float, stage: str, place: str = "") -> str:
    return f"it took longer than {seconds:g} s (--timeout); stopped at '{stage}'{place}"


def _place(error: BaseException) -> str:
    """Where in the person's own code it was, if it was there: ``in f (mine.py, line 9)``."""
    frames = own_frames(error)
    if not frames:
        return ""
    own = {(frame.filename, frame.name) for frame in frames}
    calls = [
        _CALLERS[frame.name]
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name in _CALLERS and (frame.filename, frame.name) not in own
    ]
    what = calls[-1] if calls else "in f"
    return f", {what} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _end(sentence: str) -> None:
    """In the watchdog's thread: nothing else ends this process any more."""
    sys.stderr.write(f"error: {sentence}\n")
    sys.stderr.flush()
    os._exit(2)

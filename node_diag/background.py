"""Compute something on another core meanwhile, by forking; in this process where that cannot be."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch


T = TypeVar("T")


class Background(Generic[T]):  # noqa: UP046 - Python 3.11
    """A computation under way in a forked child.

    The child inherits everything, so nothing has to be pickled but the result. Whatever goes wrong
    in it (no fork on this platform, one core only, a crash, a result that cannot be pickled), the
    computation is done again here, so that errors surface where they would have.
    """

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute
        self._child: int | None = None
        self._pipe = -1
        if _can_fork():
            self._fork()

    def result(self) -> T:
        """Wait for the child and take its result, or compute it here."""
        if self._child is None:
            return self._compute()
        with os.fdopen(self._pipe, "rb") as pipe:
            payload = pipe.read()
        _, status = os.waitpid(self._child, 0)
        self._child = None
        if status != 0:
            return self._compute()
        return pickle.loads(payload)  # noqa: S301 - written by our own child

    def __enter__(self) -> Background[T]:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no child behind when the check is interrupted."""
        if self._child is not None:
            os.close(self._pipe)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)

    def _fork(self) -> None:
        read_end, write_end = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of forking with threads; the child runs one thread and no locks of ours.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.close(read_end)
            _work(self._compute, write_end)
        os.close(write_end)
        self._child, self._pipe = child, read_end


def _can_fork() -> bool:
    """Fork on Linux with two cores and no GPU context, which does not survive a fork."""
    if not sys.platform.startswith("linux") or torch.cuda.is_initialized():
        return False
    return len(os.sched_getaffinity(0)) > 1


def _work(compute: Callable[[], Any], write_end: int) -> None:
    """In the child: compute, send, and leave without running anybody's exit handlers."""
    code = 1
    try:
        # The parent kills this process when it is interrupted itself.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # OpenMP's threads do not survive a fork; with one thread none are asked for.
        torch.set_num_threads(1)
        payload = pickle.dumps(compute())
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(payload)
        code = 0
    except BaseException:  # noqa: BLE001, S110 - the parent computes it again and shows the error
        pass
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

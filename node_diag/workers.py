"""Processes that compute, and what one of them says that has to end itself."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures.process import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import NoReturn

_words: list[SimpleQueue[tuple[str, str]]] = []
"""In a worker: where its last words go."""


class Workers(ProcessPoolExecutor):
    """Processes that compute in one thread each and end with this one."""

    def __init__(self, n: int) -> None:
        # Spawned, not forked: torch's threads do not survive a fork.
        context = get_context("spawn")
        self._words: SimpleQueue[tuple[str, str]] = context.SimpleQueue()
        self._heard: dict[str, str] = {}
        super().__init__(n, context, initializer=_begin, initargs=(self._words,))

    def last_words(self) -> dict[str, str]:
        """Why processes ended themselves, by what they were at."""
        while not self._words.empty():
            what, why = self._words.get()
            self._heard[what] = why
        return self._heard


def end_saying(what: str, why: str) -> NoReturn:
    """End this worker, from whichever thread; the one that started it is told why.

    Args:
        what: it was at.
        why: it cannot go on.
    """
    for queue in _words:
        queue.put((what, why))
    os._exit(2)


def _begin(words: SimpleQueue[tuple[str, str]]) -> None:
    """In a worker: one thread, no longer alive than who started it, and interrupted by it alone."""
    import torch

    _words[:] = [words]
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent_process(),), daemon=True).start()


def _follow(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)

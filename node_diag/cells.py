"""Many independent computations, each stored as soon as it is finished.

A cell has a key and plain arguments. What it gave is one JSON file, written whole or not at all, so
that a study interrupted at any moment, kill -9 included, goes on where it was. A cell that fails
is a result too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import active_children
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from node_diag.errors import LostEngineError
from node_diag.workers import Workers

Work = Callable[..., dict[str, Any]]
"""What computes a cell from its arguments; picklable, and so is what it returns: plain JSON."""

ATTEMPTS = 2
"""How often a cell may take its process down before that is its result."""
AHEAD = 4
"""Cells given to each process of this machine before it has finished any."""


@dataclass(frozen=True)
class Cell:
    """One computation.

    Attributes:
        key: unique in its study, fit for a file name.
        arguments: of the work, plain JSON.
        alone: run it while nothing else runs, since it measures times.
    """

    key: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    alone: bool = False


class Store:
    """Results in a folder, one file each."""

    def __init__(self, folder: Path, stamp: str) -> None:
        """``stamp`` is what else results depend on; those with another one are not taken."""
        self.folder = folder
        self.stamp = stamp

    def get(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a cell, or None if it is still to be computed."""
        try:
            found = json.loads(self._path(cell).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        wanted = {"stamp": self.stamp, "arguments": _plain(cell.arguments)}
        matches = isinstance(found, dict) and all(found.get(k) == v for k, v in wanted.items())
        return found["result"] if matches else None

    def put(self, cell: Cell, result: dict[str, Any]) -> None:
        """Store a result; a reader sees the whole of it or nothing."""
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"stamp": self.stamp, "arguments": dict(cell.arguments), "result": result}
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.replace(path)

    def __len__(self) -> int:
        """How many there are, whatever they depend on."""
        return sum(1 for _ in self.folder.glob("*.json"))

    def clear(self) -> None:
        """Forget all results."""
        for path in self.folder.glob("*.json"):
            path.unlink()

    def _path(self, cell: Cell) -> Path:
        return self.folder / f"{cell.key}.json"


FAILED = "cell failed"
"""The one key of a result that is none. What a cell returns may well have a ``failure`` in it."""


def stamp_of(*texts: str) -> str:
    """A short digest of what results depend on."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Engine:
    """Where cells are computed.

    Attributes:
        name: what people are told if it is lost.
        start: makes an executor, whose futures raise ``BrokenProcessPool`` if a process ended.
        stop: gives up what an executor computes, at once.
        at_once: cells given to it before the first is finished.
    """

    name: str
    start: Callable[[], Executor]
    stop: Callable[[Executor], None]
    at_once: int


def local(workers: int = 0) -> Engine:
    """Processes on this machine, each computing in one thread; 0: one for each core."""
    n = workers or len(os.sched_getaffinity(0))
    return Engine("the pool of processes", partial(Workers, n), stop, at_once=AHEAD * n)


def run(
    cells: Sequence[Cell],
    work: Work,
    store: Store,
    engine: Engine | None = None,
    alone: Engine | None = None,
    finished: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Every cell with its result, as they are finished; what is stored already comes first.

    Args:
        cells: with different keys.
        work: called with a cell's arguments in another process.
        store: where results go at once.
        engine: computes the cells; all cores of this machine by default.
        alone: computes those that are to be alone, afterwards; one process here by default.
        finished: told how many were stored already, after those.

    Yields:
        The cell and what it gave; of one that failed ``{FAILED: why}``.
    """
    waiting: list[Cell] = []
    for cell in cells:
        if (known := store.get(cell)) is None:
            waiting.append(cell)
        else:
            yield cell, known
    finished(len(cells) - len(waiting))
    if batch := [cell for cell in waiting if not cell.alone]:
        yield from _through(batch, work, store, engine or local())
    if batch := [cell for cell in waiting if cell.alone]:
        yield from _through(batch, work, store, alone or local(1))


def _through(
    cells: Sequence[Cell], work: Work, store: Store, engine: Engine
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """As :func:`run`; a process that ends under its cell is replaced."""
    left, deaths = {cell.key: cell for cell in cells}, Counter[str]()
    while left:
        # Whose process ended cannot be told apart, so suspects go one at a time.
        suspect = next((left[key] for key in deaths if key in left), None)
        batch = [suspect] if suspect else list(left.values())
        with engine.start() as pool:
            try:
                for cell, result in _finished(pool, batch, work, engine):
                    if result is None:
                        deaths[cell.key] += 1
                        if deaths[cell.key] <= ATTEMPTS:
                            continue
                        result = {FAILED: "its process ended under it, each time it was tried"}
                    if FAILED not in result:  # what failed is tried again the next time
                        store.put(cell, result)
                    del left[cell.key]
                    yield cell, result
            except BaseException:
                engine.stop(pool)
                raise


def _finished(
    pool: Executor, cells: Sequence[Cell], work: Work, engine: Engine
) -> Iterator[tuple[Cell, dict[str, Any] | None]]:
    """Results as they come; None where the process ended without one, and none after that.

    A process that ended itself has said at which cell, and why.
    """
    waiting, running = iter(cells), dict[Future[dict[str, Any]], Cell]()
    # Each future tells of itself: to wait for a million would be to look at all of them for each.
    done: SimpleQueue[Future[dict[str, Any]]] = SimpleQueue()

    def give() -> None:
        for cell in islice(waiting, engine.at_once - len(running)):
            try:
                future = pool.submit(partial(work, **cell.arguments))
            except BrokenProcessPool:
                return
            running[future] = cell
            future.add_done_callback(done.put)

    give()
    while running:
        future = done.get()
        cell = running.pop(future)
        give()
        try:
            result = future.result()
        except BrokenProcessPool:
            said = pool.last_words() if isinstance(pool, Workers) else {}
            why = said.get(name_of(cell.arguments))
            if said and why is None:
                continue  # another one has ended it, and will not be there the next time
            result = None if why is None else {FAILED: why}
        except LostEngineError:
            raise
        except CancelledError as error:
            raise LostEngineError(f"{engine.name} is gone") from error
        except Exception as error:
            result = {FAILED: f"{type(error).__name__}: {error}"}
        yield cell, result


def name_of(arguments: Mapping[str, Any]) -> str:
    """What a worker calls a cell whose last words are to be heard, see :mod:`.workers`."""
    return stamp_of(json.dumps(_plain(arguments), sort_keys=True))


def stop(pool: Executor) -> None:
    """Give up what processes of this machine compute."""
    pool.shutdown(wait=False, cancel_futures=True)
    for child in active_children():  # or their cells would be waited for
        child.terminate()


def _plain(arguments: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(arguments)))

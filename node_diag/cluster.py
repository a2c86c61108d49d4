"""A Dask cluster as the engine that computes cells."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import current_process
from typing import Any

from node_diag import __version__
from node_diag.cells import FAILED, Engine
from node_diag.errors import LostEngineError, UsageError
from node_diag.workers import Workers

PATIENCE = "10s"
"""How long a scheduler may take to answer."""
LOOK = 5.0
"""Seconds after which it is noticed that no worker is left."""
AHEAD, LEAST = 4, 64
"""Cells given to the scheduler for each thread of its workers, and at least, since workers come
and go."""


@contextmanager
def connected(
    address: str, study: str, told: Callable[[str], None], workers: int = 1
) -> Generator[Engine]:
    """The workers of a running Dask scheduler.

    Each worker computes one cell at a time, in a process of its own that it keeps for one study:
    what an earlier one has imported or changed is gone with it, and a cell that takes its process
    down leaves the worker alive. A worker that ends is Dask's to deal with: its cells go to others.

    Args:
        address: such as ``tcp://login01:8786``.
        study: tells what is computed from everything that was before.
        told: what is waited for.
        workers: how many there have to be at the start.

    Raises:
        UsageError: Dask is not installed, nobody answers, or a worker has another node-diag.
    """
    try:
        from distributed import Client
        from distributed.cfexecutor import ClientExecutor
    except ImportError as error:
        raise UsageError(
            "--scheduler needs Dask: pip install 'node-diag[dask]', here and on the workers"
        ) from error
    for logger in ("distributed", "distributed.client"):  # what fails is told as a sentence
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    told(f"connecting to {address}")
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False, name="node-diag")
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"no Dask scheduler answers at '{address}'; start one with 'dask scheduler', and "
            "workers with 'dask worker ADDRESS --nthreads 1'"
        ) from error
    with client:
        nthreads: Any = client.nthreads()  # a coroutine only of an asynchronous client
        if len(nthreads) < workers:
            told(f"waiting for a worker of {address}")
            client.wait_for_workers(workers)
            nthreads = client.nthreads()
        _agree(client)
        over = threading.Event()
        gone = partial(told, f"{address} has no worker left; waiting for another")
        threading.Thread(target=watch, args=(client.nthreads, gone, over), daemon=True).start()
        try:
            yield Engine(
                f"the Dask scheduler at {address}",
                start=lambda: _Pool(ClientExecutor(client, pure=False), study),
                stop=lambda pool: pool.shutdown(wait=False),
                at_once=max(AHEAD * sum(nthreads.values()), LEAST),
            )
        finally:
            over.set()


def watch(
    workers: Callable[[], Any], gone: Callable[[], None], over: threading.Event, every: float = LOOK
) -> None:
    """Say once each time that nobody is left to compute; Dask waits for others for ever.

    Args:
        workers: those there are; raises OSError when the scheduler is gone, which others tell.
        gone: told that there are none.
        over: ends it.
        every: seconds between two looks.
    """
    alone = False
    while not over.wait(every):
        try:
            left = bool(workers())
        except (OSError, RuntimeError):
            return
        if not left and not alone:
            gone()
        alone = not left


class _Pool(Executor):
    """Dask's executor; what a cell's process or its worker did not survive is a broken pool."""

    def __init__(self, executor: Executor, study: str) -> None:
        self._executor, self._study = executor, study

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        work = partial(fn, *args, **kwargs)
        given = self._executor.submit(partial(_in_turn, __version__, self._study, work))
        told: Future[Any] = Future()
        given.add_done_callback(partial(_pass_on, told))
        return told

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del cancel_futures  # which Dask does whenever it does not wait
        self._executor.shutdown(wait=wait)


def _pass_on(told: Future[Any], given: Future[Any]) -> None:
    from distributed import KilledWorker

    if given.cancelled():
        told.cancel()
        told.set_running_or_notify_cancel()
    elif isinstance(error := given.exception(), KilledWorker):
        told.set_exception(BrokenProcessPool(str(error)))
    elif error is not None:
        told.set_exception(error)
    else:
        told.set_result(given.result())


class _Child:
    """In a worker: the process that computes the cells of one study."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.study = ""
        self.pool: Workers | None = None

    def compute(self, study: str, work: Callable[[], Any]) -> Any:
        """One cell; a process that it took down is replaced for the next one."""
        with self.turn:
            if self.pool is None or study != self.study:
                self.drop()
                self.pool, self.study = Workers(1), study
            try:
                return self._submitted(self.pool, work).result()
            except BrokenProcessPool:
                said = self.pool.last_words()
                self.drop()
                for why in said.values():  # of the one cell that it was at
                    return {FAILED: why}
                raise

    def drop(self) -> None:
        """End the process."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None

    @staticmethod
    def _submitted(pool: ProcessPoolExecutor, work: Callable[[], Any]) -> Future[Any]:
        # Dask's workers are daemons, which multiprocessing lets have no children: these end with
        # their parent by themselves.
        flags: dict[str, Any] = vars(current_process())["_config"]
        daemon = flags.pop("daemon", None)
        try:
            return pool.submit(work)
        finally:
            if daemon is not None:
                flags["daemon"] = daemon


_child = _Child()


def _in_turn(version: str, study: str, work: Callable[[], Any]) -> Any:
    """In a worker, which may have come later than the others."""
    if version != __version__:
        raise LostEngineError(_other_version("a worker", __version__, version))
    return _child.compute(study, work)


def _version() -> str:
    """In a worker; it has to have what computes."""
    import_module("torch")
    return __version__


def _agree(client: Any) -> None:
    """Make sure that the workers that are there compute what would be computed here."""
    versions = client.run(_version, on_error="return")
    for worker, found in versions.items():
        if isinstance(found, BaseException):
            raise UsageError(f"worker {worker} cannot import node-diag {__version__}: {found}")
        if found != __version__:
            raise UsageError(_other_version(f"worker {worker}", found, __version__))


def _other_version(worker: str, there: str, here: str) -> str:
    return (
        f"{worker} has node-diag {there}, this is {here}: their results cannot be put side by "
        "side; install the same everywhere"
    )

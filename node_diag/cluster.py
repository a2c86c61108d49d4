"""A Dask cluster as the engine that computes cells."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from node_diag import __version__
from node_diag.cells import Engine
from node_diag.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = "10s"
"""How long a scheduler may take to answer."""
AHEAD, LEAST = 4, 64
"""Cells given to the scheduler for each thread of its workers, and at least, since workers come
and go."""
_turn = threading.Lock()


@contextmanager
def connected(address: str, told: Callable[[str], None], workers: int = 1) -> Generator[Engine]:
    """The workers of a running Dask scheduler.

    A worker that ends under a cell is Dask's to deal with: the cell goes to another one, and after
    a few of them it is a failed one. Of workers with several threads one computes at a time, since
    cells draw random numbers and change the working folder.

    Args:
        address: such as ``tcp://login01:8786``.
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
        told(f"waiting for a worker of {address}")
        client.wait_for_workers(workers)
        _agree(client)
        nthreads: Any = client.nthreads()  # a coroutine only of an asynchronous client
        yield Engine(
            f"the Dask scheduler at {address}",
            partial(_Pool, ClientExecutor(client, pure=False)),
            stop=lambda pool: pool.shutdown(wait=False),
            at_once=max(AHEAD * sum(nthreads.values()), LEAST),
        )


class _Pool(Executor):
    """Dask's executor, one cell at a time in each worker process."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._executor.submit(partial(_in_turn, partial(fn, *args, **kwargs)))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del cancel_futures  # which Dask does whenever it does not wait
        self._executor.shutdown(wait=wait)


def _in_turn(work: Callable[[], Any]) -> Any:
    """In a worker."""
    import torch

    with _turn:
        torch.set_num_threads(1)
        return work()


def _version() -> str:
    """In a worker."""
    return __version__


def _agree(client: Client) -> None:
    """Make sure that the workers that are there compute what would be computed here."""
    versions: Any = client.run(_version, on_error="return")
    for worker, found in versions.items():
        if isinstance(found, BaseException):
            raise UsageError(f"worker {worker} cannot import node-diag {__version__}: {found}")
        if found != __version__:
            raise UsageError(
                f"worker {worker} has node-diag {found}, this is {__version__}: their results "
                "cannot be put side by side; install the same everywhere"
            )

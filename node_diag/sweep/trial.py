"""Problems of a sweep, tried before it is run: whether one can be made, and what it brings along.

In a process of their own: a module may raise, go on for ever or end its process, at some values or
at all of them.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Self

from node_diag.cells import stop
from node_diag.deadline import deadline
from node_diag.errors import ProblemError, UsageError
from node_diag.interrupts import insistent
from node_diag.sweep.axes import Axis
from node_diag.sweep.grid import Place
from node_diag.workers import Workers, end_saying

STAGE = "the problem"
HALF = 10
MOST = 2 * HALF
"""Problems that are tried, from both ends of the grid, before none is taken to be any good."""

Settings = Mapping[str, Any]


def settings_of(
    grid: Sequence[Place],
    axes: Sequence[Axis],
    limit: float | None,
    told: Callable[[str], None],
    meanwhile: Callable[[], None],
) -> Settings:
    """Options that the problem comes with: those of the first one that can be made.

    Args:
        grid: all points.
        axes: what is varied.
        limit: seconds that each problem may take.
        told: what is being done.
        meanwhile: something that this process is to do itself, such as an import.

    Raises:
        UsageError: a value that the problem cannot have, at whichever point.
        ProblemError: the module cannot be imported, or none of the problems that were tried can be
            made; why the first one cannot.
    """
    spec: str = grid[0].arguments["spec"]
    unlike = {json.dumps(one, sort_keys=True): one for one in _overrides(grid)}
    overrides = list(unlike.values())
    told(f"importing {spec}")
    chosen = overrides if len(overrides) <= MOST else [*overrides[:HALF], *overrides[-HALF:]]
    with _Process(spec, limit, axes) as process:
        process.ask(partial(_fits, spec, overrides), meanwhile)
        first: ProblemError | None = None
        for i, one in enumerate(chosen):
            if i:
                told(f"importing {spec}: trying problem {i + 1} of {len(chosen)}")
            try:
                return process.ask(partial(_settings, spec, one))
            except ProblemError as error:
                first = first or error
    raise first or UsageError(f"{spec}: there is nothing to sweep")


def _overrides(grid: Sequence[Place]) -> list[dict[str, Any]]:
    return [dict(place.arguments["overrides"]) for place in grid]


class _Process:
    """One that is replaced where it ended."""

    def __init__(self, spec: str, limit: float | None, axes: Sequence[Axis]) -> None:
        self._ended = f"'{spec}' ended the process in which it was imported"
        self._limit, self._axes, self._pool = limit, axes, Workers(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        stop(self._pool)

    def ask(self, work: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> Any:
        """What the work returns; what it raises, in words that the sweep's options have."""
        asked = self._pool.submit(_limited, work, self._limit)
        meanwhile()
        try:
            return asked.result()
        except UsageError as error:
            text = str(error)
            for axis in self._axes:
                text = text.replace(f"--set {axis.name}=", f"--over {axis.name}=")
            raise UsageError(text) from error.__cause__
        except BrokenProcessPool:
            why = self._pool.last_words().get(STAGE, self._ended)
            self._pool = Workers(1)
            raise ProblemError(why) from None


def _limited(work: Callable[[], Any], limit: float | None) -> Any:
    """In that process. What the module prints is not the result: stdout is for that alone."""
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            insistent(to_ctrl_c=False),
            deadline(limit, lambda: STAGE, end=partial(end_saying, STAGE)),
        ):
            return work()
    except (KeyboardInterrupt, SystemExit) as error:  # of the problem: Ctrl-C does not come here
        raise ProblemError(f"the problem raised {type(error).__name__}") from error


def _fits(spec: str, overrides: Sequence[Mapping[str, Any]]) -> None:
    from node_diag.loader import check

    for one in overrides:
        check(spec, one)


def _settings(spec: str, overrides: Mapping[str, Any]) -> Settings:
    from node_diag.loader import load

    return load(spec, overrides).settings

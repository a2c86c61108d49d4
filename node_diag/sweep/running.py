"""A sweep from its axes to its folder; what is finished stays finished."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node_diag import __version__
from node_diag.builtins import builtin_names
from node_diag.cells import FAILED, Cell, Engine, Store, run, stamp_of
from node_diag.config import CheckConfig
from node_diag.config_sources import SUGGESTED, Resolved, resolve
from node_diag.errors import ProblemError, UsageError
from node_diag.outputs.folder import put
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.registry import SOLVERS
from node_diag.session import Job
from node_diag.sweep.axes import OPTIONS, Axis
from node_diag.sweep.stamp import stamp

if TYPE_CHECKING:  # it imports torch, and --help does not
    from node_diag.problem import Problem

SWEPT = "flag --over"
CELLS, PLAN = "cells", "sweep.plan.json"
"""In a sweep's folder: the finished cells; what is swept, from the start."""
ADAPTIVE_ONLY = ("rtol", "atol", "max_step", "control", "adjoint_rtol", "adjoint_atol")
FIXED_ONLY = ("step_size",)
TARGET = 1e-3
"""Gradient error that the cheapest setting has to meet."""


@dataclass(frozen=True)
class Plan:
    """What to sweep.

    Attributes:
        job: the problem, and the options that all cells share.
        axes: what is varied, the last one fastest.
        timed: whether times are taken afterwards, one cell at a time.
        command: the line that does the same again.
    """

    job: Job
    axes: Sequence[Axis]
    timed: bool
    command: str


@dataclass(frozen=True)
class Place:
    """A point of the grid and the settings it means."""

    at: dict[str, Any]
    arguments: dict[str, Any]

    @property
    def key(self) -> str:
        """The same for the same settings, in whatever sweep."""
        return stamp_of(json.dumps(self.arguments, sort_keys=True))


def places(plan: Plan) -> list[Place]:
    """Every point of the grid.

    Raises:
        UsageError: a value that an option cannot have.
    """
    job, given = plan.job, _given(plan)
    found: list[Place] = []
    for values in product(*(axis.values for axis in plan.axes)):
        at = {axis.name: value for axis, value in zip(plan.axes, values, strict=True)}
        options = {axis.name: at[axis.name] for axis in plan.axes if axis.is_option}
        overrides = {axis.name: at[axis.name] for axis in plan.axes if not axis.is_option}
        config = _config({**given, **options})
        arguments = {
            "spec": job.spec,
            "overrides": {**job.overrides, **overrides},
            "config": json.loads(config.model_dump_json()),
        }
        found.append(Place(at, arguments))
    return found


def _given(plan: Plan) -> dict[str, Any]:
    """Options of a gradient that were asked for, whatever is varied."""
    resolved = plan.job.resolved
    names = (*OPTIONS, "methods", "repeat")
    return {name: getattr(resolved.config, name) for name in names if name in resolved.sources}


def _config(values: Mapping[str, Any]) -> CheckConfig:
    """Options of one cell, without those its solver does not look at: what is equal is run once."""
    resolve(values, {}, None)  # a value that cannot be is told even where nobody looks at it
    return resolve({k: v for k, v in values.items() if k not in idle(values)}, {}, None).config


def idle(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Options that the solver among ``values`` does not look at; a check may refuse them."""
    solver = SOLVERS.load(SOLVERS.canonical(str(values.get("solver", "dopri5"))))
    return FIXED_ONLY if solver.adaptive else ADAPTIVE_ONLY


@dataclass(frozen=True)
class Begun:
    """A sweep that can be run: everything about it has been checked.

    Attributes:
        grid: all points.
        stamp: what results depend on besides their settings.
        here: the folder that names of files are relative to.
    """

    plan: Plan
    folder: Path
    grid: Sequence[Place]
    stamp: str
    here: str

    @property
    def study(self) -> str:
        """Tells these cells from those of other sweeps."""
        return stamp_of(self.here, str(self.folder), self.stamp, datetime.now(UTC).isoformat())


def begin(plan: Plan, folder: Path, told: Callable[[str], None], *, resume: bool) -> Begun:
    """Find what is wrong before anything is computed or written.

    Args:
        plan: what to sweep.
        folder: where finished cells go at once.
        told: what is being done.
        resume: go on in a folder that holds a part of this sweep.

    Raises:
        UsageError: the folder holds something else, or a value cannot be used.
    """
    grid, here = places(plan), Path.cwd()
    told(f"importing {plan.job.spec}")
    plan = _suggested(plan, _try(grid[0]).settings)
    grid = places(plan)
    known = stamp(plan.job.spec, plan.job.resolved.config.methods, here)
    _refuse_others(folder, resume=resume)
    return Begun(plan, folder, grid, known, str(here))


def sweep(begun: Begun, told: Callable[[str], None], engine: Engine) -> Sweep:
    """Run what is not finished yet, and gather everything.

    Args:
        begun: from :func:`begin`.
        told: what is being done.
        engine: computes the cells; times are taken by one process of this machine.
    """
    plan, grid = begun.plan, begun.grid
    record = {"command": plan.command, "problem": plan.job.name}
    put(begun.folder, {PLAN: (json.dumps(record, indent=1) + "\n").encode()})
    points: dict[str, dict[str, dict[str, Any]]] = {}
    unique = {place.key: place for place in grid}
    for what, alone in (("counts", False), ("times", True)):
        if what == "times" and not plan.timed:
            break
        cells = [Cell(key, place.arguments, alone) for key, place in unique.items()]
        store = Store(begun.folder / CELLS / what, begun.stamp)
        results = run(cells, functools.partial(_measure, what, begun.here), store, engine)
        for done, (cell, result) in enumerate(results, 1):
            told(f"{what}: {done} of {len(cells)} settings")
            _merge(points.setdefault(cell.key, {}), result, plan)
    return _gathered(plan, grid, points)


def _suggested(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """The options that the problem comes with, where nobody asks for others or varies them."""
    resolved = plan.job.resolved
    asked = {**resolved.sources, **{axis.name: SWEPT for axis in plan.axes if axis.is_option}}
    config = resolved.config.suggested(settings, asked)
    own = {k: SUGGESTED for k, v in settings.items() if k not in asked and getattr(config, k) == v}
    known = Resolved(config=config, sources={**own, **resolved.sources})
    return replace(plan, job=replace(plan.job, resolved=known))


def _try(place: Place) -> Problem:
    """Raise what is wrong with the problem before anything is run."""
    from node_diag.loader import load

    # What the module prints is not the result: stdout is for that alone.
    with contextlib.redirect_stdout(sys.stderr):
        return load(place.arguments["spec"], dict(place.arguments["overrides"]))


def _measure(what: str, folder: str, /, **arguments: Any) -> dict[str, Any]:
    """In a worker, wherever that was started."""
    from node_diag.sweep import measure

    try:
        os.chdir(folder)
    except OSError as error:
        if arguments["spec"] not in builtin_names():
            raise UsageError(f"{platform.node()} does not see {folder}: {error}") from error
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return getattr(measure, what)(**arguments)
    except (KeyboardInterrupt, SystemExit) as error:  # of the problem: Ctrl-C does not come here
        raise ProblemError(f"the problem raised {type(error).__name__}") from error


def _merge(into: dict[str, dict[str, Any]], result: Mapping[str, Any], plan: Plan) -> None:
    if FAILED in result:
        why = result[FAILED].removeprefix("UsageError: ").removeprefix("ProblemError: ")
        for name in plan.job.resolved.config.labels:
            into.setdefault(name, {"status": "failed", "failure": why})
        return
    for name, fields in result["methods"].items():
        into.setdefault(name, {}).update(fields)


def _gathered(
    plan: Plan, grid: Sequence[Place], found: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Sweep:
    points = [
        SweepPoint(at=place.at, method=name, **found[place.key][name])
        for place in grid
        for name in plan.job.resolved.config.labels
    ]
    config = plan.job.resolved.config
    target = TARGET if config.target_error is None else config.target_error
    return Sweep(
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=plan.command,
        problem=plan.job.name,
        spec=plan.job.spec,
        overrides=dict(plan.job.overrides),
        options={k: v for k, v in _given(plan).items() if k != "methods"},
        varied_options=[axis.name for axis in plan.axes if axis.is_option],
        axes={axis.name: list(axis.values) for axis in plan.axes},
        methods=dict(zip(config.labels, config.methods, strict=True)),
        target_error=target,
        points=points,
        cheapest=cheapest(points, target),
        front=list(front(points)),
    )


def cheapest(points: Sequence[SweepPoint], target: float) -> int | None:
    """The point that certainly meets the target with the fewest evaluations of f."""
    meets = [
        (point.nfe, point.worst, i)
        for i, point in enumerate(points)
        if point.nfe is not None and point.worst is not None and point.worst <= target
    ]
    return min(meets)[2] if meets else None


def front(points: Sequence[SweepPoint]) -> Iterator[int]:
    """Points that none beats in both error and evaluations, the cheapest first."""
    known = [
        (point.nfe, point.error, i)
        for i, point in enumerate(points)
        if point.nfe is not None and point.error is not None and point.error >= 0
    ]
    least = float("inf")
    for _, error, i in sorted(known):
        if error < least:
            least = error
            yield i


def _refuse_others(folder: Path, *, resume: bool) -> None:
    """Make sure that there are no results but these in the folder."""
    present = folder.exists() and any(folder.iterdir()) if folder.is_dir() else folder.exists()
    if present and not (folder / PLAN).is_file():
        raise UsageError(
            f"'{folder}' holds something that is no sweep; choose another folder with --report-dir"
        )
    if present and not resume:
        raise UsageError(
            f"'{folder}' holds a sweep already; pass --resume to go on with it, or choose another "
            "folder with --report-dir"
        )

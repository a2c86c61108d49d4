"""A sweep from its axes to its folder; what is finished stays finished."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from node_diag import __version__
from node_diag.builtins import builtin_names
from node_diag.cells import FAILED, Cell, Engine, Store, name_of, run, stamp_of
from node_diag.config import option_text
from node_diag.deadline import deadline
from node_diag.errors import ProblemError, UsageError
from node_diag.interrupts import insistent
from node_diag.outputs.folder import put
from node_diag.outputs.foreign import plain
from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep.choosing import choices, everywhere
from node_diag.sweep.grid import Place, Plan, given, load_methods, places, refuse_unread, suggested
from node_diag.sweep.stamp import stamp
from node_diag.sweep.trial import settings_of
from node_diag.workers import end_saying

CELLS, PLAN = "cells", "sweep.plan.json"
"""In a sweep's folder: the finished cells; what is swept, from the start."""
FEW = 3
"""Settings left, from which on they are named."""
TARGET = 1e-3
"""Gradient error that the cheapest setting has to meet."""


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


def begin(
    plan: Plan,
    folder: Path,
    told: Callable[[str], None],
    note: Callable[[str], None],
    *,
    resume: bool,
) -> Begun:
    """Find what is wrong before anything is computed or written.

    Args:
        plan: what to sweep.
        folder: where finished cells go at once.
        told: what is being done.
        note: told what a person should know of the folder.
        resume: go on in a folder that holds a part of this sweep.

    Raises:
        UsageError: the folder holds something else, or a value cannot be used.
        ProblemError: no problem can be made.
    """
    grid, here = places(plan), Path.cwd()
    asked_for = given(plan)
    limit = plan.job.resolved.config.timeout
    load = partial(load_methods, plan)  # they import torch, and so does the process that tries
    plan = suggested(plan, settings_of(grid, plan.axes, limit, told, load))
    refuse_unread(plan, asked_for)
    grid = places(plan)
    known = stamp(plan.job.spec, plan.job.resolved.config.methods, here)
    _refuse_others(folder, resume=resume)
    if resume:
        _compare(folder, plan, note)
    return Begun(plan, folder, grid, known, str(here))


def sweep(
    begun: Begun,
    told: Callable[[str], None],
    engine: Engine,
    *,
    note: Callable[[str], None],
    saved: Callable[[], None],
) -> Sweep:
    """Run what is not finished yet, and gather everything.

    Args:
        begun: from :func:`begin`.
        told: what is being done.
        engine: computes the cells; times are taken by one process of this machine.
        note: told what was finished before.
        saved: called when there is something in the folder.
    """
    plan, grid = begun.plan, begun.grid
    record = {"command": plan.command, "problem": plan.job.name}
    put(begun.folder, {PLAN: (json.dumps(record, indent=1) + "\n").encode()})
    points: dict[str, dict[str, dict[str, Any]]] = {}
    unique = {place.key: place for place in grid}
    limit = plan.job.resolved.config.timeout
    for what, alone in (("counts", False), ("times", True)):
        if what == "times" and not plan.timed:
            break
        cells = [Cell(key, place.arguments, alone) for key, place in unique.items()]
        store = Store(begun.folder / CELLS / what, begun.stamp)
        work = partial(_measure, what, begun.here, limit)
        left = dict(unique)
        finished = partial(_tell_finished, what, len(cells), len(store), note)
        for cell, result in run(cells, work, store, engine, finished=finished):
            saved()
            del left[cell.key]
            told(f"{what}: {len(cells) - len(left)} of {len(cells)} settings{_waiting(left)}")
            _merge(points.setdefault(cell.key, {}), result, plan)
    return _gathered(plan, grid, points)


def _tell_finished(
    what: str, cells: int, stored: int, note: Callable[[str], None], finished: int
) -> None:
    """Say what an earlier run has left, and what of it is of no use."""
    if finished:
        note(f"{what}: {finished} of {cells} settings were finished before")
    if other := stored - finished:
        settings = "1 finished setting is" if other == 1 else f"{other} finished settings are"
        note(
            f"{what}: {settings} not taken: of another sweep, of another version, or from before a "
            "file was changed"
        )


def _waiting(left: Mapping[str, Place]) -> str:
    """The settings that are waited for, once there are few."""
    if not 0 < len(left) <= FEW:
        return ""
    names = (", ".join(f"{k} {option_text(v)}" for k, v in one.at.items()) for one in left.values())
    return f"; left: {'; '.join(names)}"


def _compare(folder: Path, plan: Plan, note: Callable[[str], None]) -> None:
    """Say so where a folder to go on in is empty, or was begun by another command."""
    try:
        command = json.loads((folder / PLAN).read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        note(f"{folder} holds no sweep yet: it begins there")
        return
    if command != plan.command:
        before = plain(str(command))
        note(f"{folder} was begun by another command, whose report is replaced: {before}")


def _measure(what: str, folder: str, limit: float | None, /, **arguments: Any) -> dict[str, Any]:
    """In a worker, wherever that was started; it may take so many seconds."""
    from node_diag.sweep import measure

    try:
        os.chdir(folder)
    except OSError as error:
        if arguments["spec"] not in builtin_names():
            raise UsageError(f"{platform.node()} does not see {folder}: {error}") from error
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            insistent(to_ctrl_c=False),
            deadline(limit, lambda: what, end=partial(end_saying, name_of(arguments))),
        ):
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
    axes = {axis.name: list(axis.values) for axis in plan.axes}
    options = [axis.name for axis in plan.axes if axis.is_option]
    chosen = choices(points, axes, options, target)
    return Sweep(
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=plan.command,
        problem=plan.job.name,
        spec=plan.job.spec,
        overrides=dict(plan.job.overrides),
        options={k: v for k, v in given(plan).items() if k != "methods"},
        varied_options=options,
        axes=axes,
        methods=dict(zip(config.labels, config.methods, strict=True)),
        target_error=target,
        points=points,
        choices=chosen,
        everywhere=everywhere(points, chosen, target) if len(chosen) > 1 else [],
    )


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

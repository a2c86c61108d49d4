"""The grid of a sweep: every point, and which options matter where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from node_diag.cells import stamp_of
from node_diag.config import CheckConfig, flag_of
from node_diag.config_sources import SUGGESTED, Resolved, resolve
from node_diag.errors import UsageError
from node_diag.registry import METHODS, SOLVERS, is_file
from node_diag.session import Job
from node_diag.sweep.axes import OPTIONS, Axis

SWEPT = "flag --over"
ADAPTIVE_ONLY = ("rtol", "atol", "max_step", "control", "adjoint_rtol", "adjoint_atol")
FIXED_ONLY = ("step_size",)
BACKWARD_ONLY = ("adjoint_rtol", "adjoint_atol")
REFUSED = ("step_size", "max_step", "control")
"""Options that a check refuses with a solver that does not look at them."""


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
    job, shared = plan.job, given(plan)
    found: list[Place] = []
    for values in product(*(axis.values for axis in plan.axes)):
        at = {axis.name: value for axis, value in zip(plan.axes, values, strict=True)}
        options = {axis.name: at[axis.name] for axis in plan.axes if axis.is_option}
        overrides = {axis.name: at[axis.name] for axis in plan.axes if not axis.is_option}
        config = _config(shared, options)
        arguments = {
            "spec": job.spec,
            "overrides": {**job.overrides, **overrides},
            "config": json.loads(config.model_dump_json()),
        }
        found.append(Place(at, arguments))
    return found


def given(plan: Plan) -> dict[str, Any]:
    """Options of a gradient that were asked for, whatever is varied."""
    resolved = plan.job.resolved
    names = (*OPTIONS, "methods", "repeat")
    return {name: getattr(resolved.config, name) for name in names if name in resolved.sources}


def _config(values: Mapping[str, Any], swept: Mapping[str, Any]) -> CheckConfig:
    """Options of one cell, without those its solver does not look at: what is equal is run once."""
    # A value that cannot be is told even where nobody looks at it.
    resolve(swept, {}, None, given=SWEPT)
    resolve({**values, **swept}, {}, None)
    values = {**values, **swept}
    return resolve({k: v for k, v in values.items() if k not in idle(values)}, {}, None).config


def idle(values: Mapping[str, Any], method: str | None = None) -> tuple[str, ...]:
    """Options that the solver among ``values`` does not look at, nor the method if one is named."""
    solver = SOLVERS.load(SOLVERS.canonical(str(values.get("solver", "dopri5"))))
    by_solver = FIXED_ONLY if solver.adaptive else ADAPTIVE_ONLY
    return by_solver if method is None or _goes_back(method) else (*by_solver, *BACKWARD_ONLY)


def _goes_back(method: str) -> bool:
    """Whether a method has a solve of its own in reverse time, or may have one."""
    return is_file(method) or METHODS.load(METHODS.canonical(method)).reconstructs


def load_methods(plan: Plan) -> None:
    """Import those that are not files, to know what they look at."""
    for method in plan.job.resolved.config.methods:
        _goes_back(method)


def refuse_unread(plan: Plan, asked_for: Mapping[str, Any]) -> None:
    """Make sure that every axis matters to one of the solvers and one of the methods.

    Args:
        plan: with the options that the problem comes with.
        asked_for: options that were asked for; of some a check would refuse them as well.

    Raises:
        UsageError: all settings along an axis would be the same.
    """
    config = plan.job.resolved.config
    solvers = next((axis.values for axis in plan.axes if axis.name == "solver"), [config.solver])
    unread = [set(idle({"solver": solver})) for solver in solvers]
    for axis in plan.axes:
        if axis.name in BACKWARD_ONLY and not any(map(_goes_back, config.methods)):
            solve = "solves" if len(config.labels) == 1 else "solve"
            raise UsageError(
                f"--over {axis.name}: {', '.join(config.labels)} {solve} nothing in reverse time, "
                "so it changes nothing; leave it out, or add -m adjoint"
            )
    names = {axis.name: f"--over {axis.name}" for axis in plan.axes if axis.is_option}
    names |= {name: flag_of(name) for name in REFUSED if name in asked_for}
    for name, asked in names.items():
        if all(name in one for one in unread):
            kind = "fixed-step" if name in FIXED_ONLY else "adaptive"
            are = "are" if len(solvers) > 1 else "is"
            raise UsageError(
                f"{asked} is for {kind} solvers, which {', '.join(map(str, solvers))} {are} not"
            )


def suggested(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """The options that the problem comes with, where nobody asks for others or varies them."""
    resolved = plan.job.resolved
    asked = {**resolved.sources, **{axis.name: SWEPT for axis in plan.axes if axis.is_option}}
    config = resolved.config.suggested(settings, asked)
    own = {k: SUGGESTED for k, v in settings.items() if k not in asked and getattr(config, k) == v}
    known = Resolved(config=config, sources={**own, **resolved.sources})
    return replace(plan, job=replace(plan.job, resolved=known))

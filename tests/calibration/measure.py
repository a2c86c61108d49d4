"""Errors and bars of every reference over the family."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from node_diag import parallel
from node_diag.errors import NoReferenceError
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.references import sensitivity
from node_diag.references.base import Reference, flatten, slices
from node_diag.references.finite_difference import frozen_reference
from node_diag.references.sensitivity import sensitivity_reference
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings
from tests.calibration.family import Case, Long

Vector = NDArray[np.float64]
GRIDS = (("dopri5", 8), ("bosh3", 5), ("tsit5", 8), ("rk4", 2), ("heun-euler", 4))
"""Solvers and the finest tolerance, as −log10, that they reach in reasonable time."""
COVERED, VACUOUS = 0.99, 30
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Sample:
    """One reference of one problem: true error and stated bar, ‖·‖₂ relative to the gradient."""

    reference: str
    case: str
    error: float
    bar: float
    inside: float
    """Share of the entries whose error is within their own bars."""

    @property
    def covers(self) -> bool:
        """Whether the true error is within the stated uncertainty."""
        return self.error <= self.bar


def samples(cases: Iterable[Case], adjoint_every: int = 1) -> list[Sample]:
    """The references of every case; those that refuse are left out, since they claim nothing.

    Args:
        cases: problems; half of them go to a second process where there are two cores.
        adjoint_every: adjoint sensitivities, which take longest, of every so many cases only.
    """
    numbered = list(enumerate(cases))
    halves = {str(k): partial(_all, numbered[k::2], adjoint_every) for k in range(2)}
    done = parallel.compute(halves)
    return [sample for half in done.values() for sample in half]


def shortfalls(found: Iterable[Sample]) -> list[str]:
    """What is not as it should be with the uncertainties of every reference, in words."""
    by_name: dict[str, list[Sample]] = {}
    for sample in found:
        by_name.setdefault(sample.reference, []).append(sample)
    told: list[str] = []
    for name, own in by_name.items():
        covered = min(float(np.mean([getattr(s, a) for s in own])) for a in ("covers", "inside"))
        # An error of exactly zero says nothing about how large a bar should have been.
        times = float(np.median([s.bar / s.error for s in own if s.error > 0]))
        if not covered >= COVERED:
            told.append(
                f"{covered:.1%} of the uncertainties of {name} cover, less than {COVERED:.0%}"
            )
        if not times <= VACUOUS:
            told.append(
                f"the uncertainties of {name} are {times:.0f} times the errors in the median, "
                f"over {VACUOUS}"
            )
    return [text.replace("%", " %") for text in told]


def _all(numbered: list[tuple[int, Case]], adjoint_every: int) -> list[Sample]:
    torch.set_num_threads(1)  # the sums of this family are too short to share
    found: list[Sample] = []
    for i, case in numbered:
        truth = case.truth()
        ways = [("forward", _forward)] + [("adjoint", _adjoint)] * (i // 2 % adjoint_every == 0)
        for name, reference in ways:
            try:
                found.append(_sample(name, case, reference(case), truth, 0.0))
            except NoReferenceError:
                continue
        found += _frozen(case, i)
    return found


def _forward(case: Case) -> Reference:
    return sensitivity_reference(case.problem)


def _adjoint(case: Case) -> Reference:
    few, sensitivity.MOST_COLUMNS = sensitivity.MOST_COLUMNS, 0
    try:
        return sensitivity_reference(case.problem)
    finally:
        sensitivity.MOST_COLUMNS = few


def _frozen(case: Case, i: int) -> list[Sample]:
    """Frozen-grid differences; their truth is reverse mode through the same steps.

    Which is right to a few √N ulp of the gradient, three orders below the bars.
    """
    solver, finest = GRIDS[i % len(GRIDS)]
    rtol = 10.0 ** -(2 + (i // len(GRIDS)) % (finest - 1))
    tableau = SOLVERS.load(solver)
    settings = Settings(tableau, rtol, rtol)
    field = Field(case.problem)
    solution = integrate(field, case.problem.flat_z0(), case.problem.ts, settings)
    direct = run("direct", METHODS.load("direct"), case.problem, Setup(settings, settings))
    main = slice(0, slices(case.problem)["ts"].start)
    try:
        found = frozen_reference(case.problem, tableau, solution.grid)
    except NoReferenceError:
        return []
    slack = 8 * EPS * np.sqrt(len(solution.grid.h))
    return [
        _sample("frozen", case, found, flatten(direct.gradient)[main].astype(np.longdouble), slack)
    ]


def _sample(name: str, case: Case, found: Reference, truth: Long, slack: float) -> Sample:
    """``slack`` is what the truth itself is known to, relative."""
    value, bar = found.value[: truth.size], found.bar[: truth.size]
    size = float(np.linalg.norm(truth.astype(np.float64)))
    gap = np.abs(value - truth).astype(np.float64)
    error = max(0.0, float(np.linalg.norm(gap) / size) - slack)
    inside = float(np.mean(gap <= bar + slack * np.abs(truth.astype(np.float64))))
    return Sample(name, case.name, error, float(np.linalg.norm(bar) / size), inside)

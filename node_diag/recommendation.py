"""The cheapest setting that gives the gradient to the accuracy wanted, found by running candidates.

The chosen solver is tried at a few tolerances around the one asked for, which also shows how its
gradient converges; other solvers at the tolerance that should do. Every candidate is run, so what
is recommended has been seen to meet the target, uncertainty included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from node_diag.config import CheckConfig
from node_diag.diagnosis.gates import target_error
from node_diag.diagnosis.metrics import compare
from node_diag.errors import ProblemError, SolveError
from node_diag.gradients.base import MethodRun, Setup, run
from node_diag.gradients.lookup import method_of
from node_diag.problem import Problem
from node_diag.records import Candidate, Recommendation
from node_diag.references.base import Reference, flatten, slices
from node_diag.registry import SOLVERS
from node_diag.solvers.solution import Settings

OTHERS = ("tsit5", "dopri5")
THIRD_ORDER, LOOSE = "bosh3", 1e-2
"""A solver that is worth a try where the target is no tighter than this."""
DECADES = (1, -1)
"""Powers of ten by which the tolerance is changed for the sweep of the chosen solver."""
HALVINGS = (2, 1, -1)
"""Powers of two by which a fixed step is changed."""
MOST_MEMORY = 256 * 2**20
"""Bytes of graph up to which keeping it is better than computing every step once more."""
TIGHTEST, LOOSEST = 1e-12, 0.1
"""Relative tolerances that are tried. With more an error estimate says nothing, and a solve may run
away, in ten thousand steps."""
MOST_EVALUATIONS = 200_000
"""Of f that a candidate may take."""
MORE_TRIES = 3


@dataclass
class Search:
    """What the candidates of one problem have in common."""

    problem: Problem
    setup: Setup
    config: CheckConfig
    truth: Reference
    method: str
    known: MethodRun
    known_nfe: int

    def tasks(self) -> dict[str, Callable[[], list[Candidate]]]:
        """Independent parts of the search, the longest first."""
        found = {f"gradient error of {self.config.solver}": self._own}
        if self.setup.forward.tableau.adaptive:
            loose = target_error(self.config) >= LOOSE
            for name in (*OTHERS, THIRD_ORDER) if loose else OTHERS:
                if name != self.config.solver:
                    found[f"gradient error of {name}"] = partial(self._other, name)
        return found

    def _own(self) -> list[Candidate]:
        """The chosen solver: the run there is, its neighbours, tighter until the target is met."""
        forward = self.setup.forward
        found = [self._judge(forward, self.known, self.known_nfe)]
        powers = DECADES if forward.tableau.adaptive else HALVINGS
        for power in powers:
            factor = (10.0 if forward.tableau.adaptive else 2.0) ** power
            if power > 0 and forward.tableau.adaptive and forward.rtol * factor > LOOSEST:
                continue
            if power > 0 or self._affordable(found[0], factor):
                found.append(self._try(_scaled(self.problem, forward, factor)))
        found += self._tightened(forward, min(found, key=_tolerance))
        if not any(candidate.met for candidate in found) and forward.tableau.adaptive:
            resolving = replace(forward, control="sensitivities")
            if self.known_nfe * 10 < MOST_EVALUATIONS and forward.control == "state":
                found.append(self._try(resolving))
        return found

    def _tightened(self, forward: Settings, last: Candidate) -> list[Candidate]:
        """Tighter until the target is met, as far as that goes."""
        found: list[Candidate] = []
        for _ in range(MORE_TRIES):
            if last.met or last.error is None or not math.isfinite(last.error):
                break
            if last.error > 1:  # then there is nothing to extrapolate from
                break
            wanted = target_error(self.config) / last.error / 2
            order = 1.0 if forward.tableau.adaptive else 1.0 / forward.tableau.order
            scaled = _scaled(self.problem, forward, wanted**order, start=last)
            if scaled.rtol < TIGHTEST or not self._affordable(last, wanted**order):
                break
            last = self._try(scaled)
            found.append(last)
        return found

    def _other(self, name: str) -> list[Candidate]:
        """Another solver, at the tolerance at which the chosen one should do; once more if not."""
        forward = replace(self.setup.forward, tableau=SOLVERS.load(name))
        first = self._judge(self.setup.forward, self.known, self.known_nfe)
        factor = 1.0
        if first.error and math.isfinite(first.error) and first.error < 1:
            factor = min(100.0, target_error(self.config) / first.error / 2)
        factor = min(factor, LOOSEST / forward.rtol)
        found = [self._try(_scaled(self.problem, forward, factor), name)]
        error = found[0].error
        if not found[0].met and error and math.isfinite(error) and error < 1:
            again = target_error(self.config) / error / 2
            scaled = _scaled(self.problem, forward, again, start=found[0])
            if scaled.rtol >= TIGHTEST and self._affordable(found[0], again):
                found.append(self._try(scaled, name))
        return found

    def _affordable(self, near: Candidate, factor: float) -> bool:
        """Whether a tolerance so many times larger may be tried: steps go with its 1/order.

        Of fixed steps it is the step that is meant.
        """
        nfe = near.nfe or self.known_nfe
        power = 0.25 if self.setup.forward.tableau.adaptive else 1.0
        return nfe * max(1.0, 1 / factor) ** power < MOST_EVALUATIONS

    def _try(self, forward: Settings, solver: str | None = None) -> Candidate:
        setup = Setup(
            replace(forward, max_steps=min(forward.max_steps, 20_000)), self.setup.backward
        )
        try:
            found = run(self.method, method_of(self.method), self.problem, setup)
        except (SolveError, ProblemError) as error:
            return _candidate(solver or self.config.solver, forward, failure=str(error))
        return self._judge(forward, found, found.nfe_forward + found.nfe_backward, solver)

    def _judge(
        self, forward: Settings, found: MethodRun, nfe: int, solver: str | None = None
    ) -> Candidate:
        candidate = _candidate(solver or self.config.solver, forward)
        error = compare(
            flatten(found.gradient), self.truth.value, self.truth.bar, slices(self.problem)
        )
        candidate.error, candidate.uncertainty = error.relative_l2, error.uncertainty
        candidate.nfe = nfe
        candidate.n_accepted = found.solution.n_accepted
        target = target_error(self.config)
        if error.relative_l2 is not None and error.uncertainty is not None:
            candidate.met = error.relative_l2 + error.uncertainty <= target
        return candidate


def search(
    problem: Problem,
    setup: Setup,
    config: CheckConfig,
    truth: Reference,
    runs: dict[str, MethodRun],
    saved_bytes: int,
) -> Search:
    """A search that starts from the gradients there are already.

    Args:
        problem: as it is checked.
        setup: of the check.
        config: its options.
        truth: continuous reference.
        runs: by method.
        saved_bytes: the most that any of them kept for its backward pass.

    Raises:
        SolveError, ProblemError: there is no gradient of the accepted steps to start from.
    """
    method = "aca" if saved_bytes > MOST_MEMORY else "direct"
    for name in (method, "aca", "direct"):
        if (known := runs.get(name)) is not None:
            break
    else:
        known = run(method, method_of(method), problem, setup)
    nfe = known.nfe_forward + (known.nfe_backward if method == "aca" else 0)
    return Search(problem, setup, config, truth, method, known, nfe)


def conclude(found: Search, candidates: list[Candidate]) -> Recommendation:
    """The cheapest candidate that met the target, or the sentence that says why there is none."""
    target = target_error(found.config)
    met = [c for c in candidates if c.met]
    result = Recommendation(
        target=target,
        method=found.method,
        candidates=candidates,
        order=slope(candidates, found.config.solver),
    )
    if met:
        result.best = min(range(len(candidates)), key=lambda i: _preference(candidates[i]))
        return result
    known = [c.error for c in candidates if c.error is not None and math.isfinite(c.error)]
    result.reason = f"none of the {len(candidates)} settings that were tried meets {target:.1e}" + (
        f"; the smallest error was {min(known):.1e}" if known else ""
    )
    return result


def _preference(candidate: Candidate) -> tuple[float, float]:
    """Its cost; of two that cost the same, the one with the smaller error."""
    cost = candidate.nfe if candidate.met and candidate.nfe is not None else math.inf
    return cost, math.inf if candidate.error is None else candidate.error


def _tolerance(candidate: Candidate) -> float:
    return candidate.rtol if candidate.step_size is None else candidate.step_size


def _candidate(solver: str, forward: Settings, failure: str | None = None) -> Candidate:
    return Candidate(
        solver=solver,
        rtol=forward.rtol,
        atol=forward.atol,
        step_size=forward.step_size,
        control=forward.control,
        failure=failure,
    )


def _scaled(
    problem: Problem, forward: Settings, factor: float, start: Candidate | None = None
) -> Settings:
    """The tolerances (or the fixed step) times a factor, rounded down to one digit."""
    if not forward.tableau.adaptive:
        step = (start.step_size if start else forward.step_size) or 0.0
        step = step or abs(problem.t1 - problem.t0) / 100
        return replace(forward, step_size=_rounded(step * factor))
    rtol, atol = (start.rtol, start.atol) if start else (forward.rtol, forward.atol)
    return replace(forward, rtol=_rounded(rtol * factor), atol=_rounded(atol * factor))


def _rounded(x: float) -> float:
    """1, 2 or 5 times a power of ten, the next one below."""
    exponent = math.floor(math.log10(x) + 1e-9)
    lead = x / 10.0**exponent
    digit = max(d for d in (1, 2, 5) if d <= lead * (1 + 1e-9))
    return float(f"{digit}e{exponent}")


def slope(candidates: list[Candidate], solver: str) -> float | None:
    """Order p of  error ∝ tolerance^p  (or step^p) for one solver, fitted over its candidates."""
    points = [
        (math.log(_tolerance(c)), math.log(c.error))
        for c in candidates
        if c.solver == solver and c.control == "state" and c.error and 0 < c.error < 0.5
    ]
    if len(points) < 3:
        return None
    x, y = np.array(points).T
    return float(np.polyfit(x, y, 1)[0])

"""How small an error does each checker catch? ``make checkers`` writes docs/checkers.md."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from node_diag.config import CheckConfig
from node_diag.field import Field
from node_diag.loader import load
from node_diag.preparation import make_setup
from node_diag.references.directions import reverse_gradient
from node_diag.references.frozen_map import FrozenMap
from node_diag.solvers.integrate import integrate
from node_diag.solvers.step_map import OwnSteps
from tests.checkers.judges import JUDGES, Map

DELTAS = 10.0 ** -np.arange(1, 13)
MUS = (1.0, 2.0, 5.0)
TEXT = """# What other gradient checkers catch

Written by `make checkers`. The loss of van der Pol's oscillator (dopri5, rtol 1e-5, T = 20) on its
frozen grid, in z0 and μ, and its exact gradient by reverse mode, scaled by 1 + δ. Every checker runs
with its own default settings; taylor_test along the gradient, with a perturbation h of two lengths
and the usual assertion that the rate is above 1.9; references with an error estimate accept what
lies within it.

| checker | {mus} | evaluations | time |
|---|{rules}---|---|
{rows}

Each cell: is the exact gradient accepted, and the smallest δ = 10⁻ⁿ from which on every larger one
is refused. A checker that refuses the exact gradient has told nothing by refusing a wrong one.
"""


def frozen(mu: float) -> FrozenMap:
    """The frozen map of van der Pol at one μ."""
    problem = load("vanderpol", {"mu": mu})
    setup = make_setup(problem, CheckConfig(rtol=1e-5))
    with torch.no_grad():
        solution = integrate(Field(problem), problem.flat_z0(), problem.ts, setup.forward)
    return FrozenMap(problem, OwnSteps(setup.forward.tableau, solution.grid))


def smallest_caught(judge, j: Map, gradient: np.ndarray) -> float | None:
    """The smallest δ of the decades from 1e-1 down that is refused, with all before it."""
    caught = None
    for delta in DELTAS:
        if judge(j, gradient * (1 + delta)):
            break
        caught = delta
    return caught


def cell(accepts: bool, caught: float | None) -> str:
    """One result in words."""
    if not accepts:
        return "**refuses it**"
    return f"accepted, {caught:.0e}" if caught else "accepted, none"


def main() -> None:
    """Measure all and write the page."""
    rows: list[str] = []
    for name, judge in JUDGES.items():
        cells: list[str] = []
        evaluations, spent = 0, 0.0
        for mu in MUS:
            j = Map(frozen(mu))
            gradient = reverse_gradient(j.frozen)[: j.x.size]
            start = time.perf_counter()
            accepts = judge(j, gradient)
            spent += time.perf_counter() - start
            evaluations += j.evaluations
            caught = smallest_caught(judge, j, gradient)
            cells.append(cell(accepts, caught))
        rows.append(f"| {name} | {' | '.join(cells)} | {evaluations} | {spent:.1f} s |")
    mus = " | ".join(f"μ = {mu:g}" for mu in MUS)
    text = TEXT.format(mus=mus, rules="---|" * len(MUS), rows="\n".join(rows))
    Path(__file__).parents[2].joinpath("docs", "checkers.md").write_text(text)


if __name__ == "__main__":
    main()

"""Table 1 of the ACA paper, evaluated with the numbers of this solve.

Zhuang et al. (2020) count in units of N_f, "layers of f". Here the units are measured, so that the
formulas and the instruments speak of the same thing: f evaluations in a trial, bytes that autograd
saves for a trial and for one evaluation, autograd nodes on the longest path through a trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from node_diag.field import Field
from node_diag.measure.counting import Counts
from node_diag.measure.graph import longest_path
from node_diag.measure.memory import SavedBytes
from node_diag.problem import Problem
from node_diag.records import PaperCost
from node_diag.solvers.runge_kutta import GraphStepper
from node_diag.solvers.tableau import Tableau


@dataclass(frozen=True)
class Units:
    """What N_f stands for: evaluations, bytes and nodes of one trial, and of one evaluation."""

    evaluations: int
    trial_bytes: int
    f_bytes: int
    state_bytes: int
    trial_depth: int
    f_depth: int


def measure_units(problem: Problem, tableau: Tableau, h: float) -> Units:
    """One evaluation of f and one trial of size h at (t0, z0), with their graphs."""
    existing = list(problem.params.values())
    z0 = problem.flat_z0()
    stepper = GraphStepper(tableau, Field(problem))
    one, all_stages = SavedBytes([*existing, z0]), SavedBytes([*existing, z0])
    with torch.enable_grad():
        with one:
            value = stepper.derivative(problem.t0, z0.requires_grad_())
        with all_stages:
            trial = stepper.trial(problem.t0, z0, h, stepper.derivative(problem.t0, z0))
    return Units(
        evaluations=tableau.stages - (1 if tableau.fsal else 0),
        trial_bytes=all_stages.peak,
        f_bytes=one.peak,
        state_bytes=z0.numel() * z0.element_size(),
        trial_depth=longest_path([trial.z1]),
        f_depth=longest_path([value]),
    )


def paper_cost(
    method: str, units: Units, n_t: int, n_r: int, m: float, counts: Counts, nfe: tuple[int, int]
) -> dict[str, PaperCost]:
    """The formulas of a method beside what was measured; empty for methods not in the paper."""
    n_f = units.evaluations
    vjps = nfe[0] + counts.nvjp_backward
    rows = {
        "naive": (
            ("N_f·N_t·m·2", n_f * n_t * m * 2, vjps),
            ("N_f·N_t·m", units.trial_bytes * n_t * m),
            ("N_f·N_t·m", units.trial_depth * n_t * m),
        ),
        "adjoint": (
            ("N_f·(N_t + N_r)·m", n_f * (n_t + n_r) * m, sum(nfe)),
            ("N_f", units.f_bytes + units.state_bytes),
            ("N_f·N_r", n_f * units.f_depth * n_r),
        ),
        "aca": (
            ("N_f·N_t·(m + 1)", n_f * n_t * (m + 1), sum(nfe)),
            ("N_f + N_t", units.trial_bytes + units.state_bytes * n_t),
            ("N_f·N_t", units.trial_depth * n_t),
        ),
    }
    if method not in rows:
        return {}
    evaluations, memory, depth = rows[method]
    return {
        "evaluations": PaperCost(
            formula=evaluations[0], value=evaluations[1], measured=evaluations[2]
        ),
        "memory": PaperCost(formula=memory[0], value=memory[1], measured=counts.saved_bytes),
        "depth": PaperCost(formula=depth[0], value=depth[1], measured=counts.graph_depth),
    }

"""The parts of the step-size terms add up to naive minus direct, each where it enters."""

import numpy as np
import torch

from node_diag import Problem
from node_diag.config_sources import resolve
from node_diag.gradients.base import run
from node_diag.gradients.methods.direct import METHOD as DIRECT
from node_diag.gradients.methods.naive import METHOD as NAIVE
from node_diag.inspection import step_size_terms
from node_diag.loader import load
from node_diag.norms import norm
from node_diag.preparation import make_setup
from node_diag.references.base import flatten


def gradients(problem, **flags):
    setup = make_setup(problem, resolve(flags, {}, None).config)
    size = -len(problem.ts)
    naive, direct = (
        flatten(run("x", method, problem, setup).gradient)[:size] for method in (NAIVE, DIRECT)
    )
    return setup, naive, direct


def test_parts_bound_the_whole_and_signs_are_called_out():
    """μ = 1, T = 10 at rtol 1e-4, where naive turns all signs around."""
    problem = load("vanderpol", {"mu": 1.0, "T": 10.0})
    setup, naive, direct = gradients(problem, rtol=1e-4)
    found = step_size_terms.inspect(problem, setup, naive, direct)
    whole = norm(naive - direct) / norm(direct)
    parts = [found.start, found.rejected, found.accepted]
    # The triangle inequality, both ways, up to round-off.
    assert max(parts) - sum(sorted(parts)[:2]) <= whole * (1 + 1e-9)
    assert whole <= sum(parts) * (1 + 1e-9)
    turned = np.flatnonzero(np.sign(naive) != np.sign(direct))
    assert len(found.flipped) == len(turned) > 0


def test_without_rejected_trials_there_is_no_such_part():
    problem = load("linear", {})
    setup, naive, direct = gradients(problem)
    found = step_size_terms.inspect(problem, setup, naive, direct)
    assert found.rejected == 0.0
    assert found.accepted > 0.0


def test_a_given_first_step_leaves_no_part_of_the_start():
    """A scale-free flow: z' = −z from 0 has h0 = 1e-6 whatever z0 is."""
    z0 = torch.zeros(1, dtype=torch.float64)
    problem = Problem(lambda t, z: torch.cos(t) - z, z0, (0.0, 2.0), lambda zs: zs[-1].sum())
    setup, naive, direct = gradients(problem, rtol=1e-4)
    assert step_size_terms.inspect(problem, setup, naive, direct).start < 1e-2

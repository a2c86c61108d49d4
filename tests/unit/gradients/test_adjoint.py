"""The continuous adjoint where its reverse-time solve cannot end well."""

import pytest
import torch

from node_diag import Problem
from node_diag.config_sources import resolve
from node_diag.errors import RunawayError
from node_diag.gradients.base import run
from node_diag.gradients.methods import adjoint
from node_diag.preparation import make_setup

DOUBLE = torch.float64


def lorenz(t1):
    def f(t, z):
        x, y, w = z.unbind()
        return torch.stack([10 * (y - x), x * (28 - w) - y, x * y - 8 / 3 * w])

    return Problem(f, torch.ones(3, dtype=DOUBLE), (0.0, t1), lambda zs: zs[-1].sum())


def backward(problem):
    setup = make_setup(problem, resolve({"rtol": 1e-3}, {}, None).config)
    return run("adjoint", adjoint.METHOD, problem, setup)


@pytest.mark.slow
def test_a_runaway_state_is_given_up_after_a_few_times_the_forward_steps():
    """The volume of the flow grows by e^13.7 in each unit of reverse time: z̄ is away in a few.

    Steps of a state a hundred times as large are a hundred times as short; without an end the
    solve takes all of the 100,000 that it may.
    """
    with pytest.raises(RunawayError, match="steps back for") as caught:
        backward(lorenz(20.0))
    assert 0 < caught.value.t < 20
    path = caught.value.reconstruction
    words = str(caught.value)
    forward = int(words.rpartition("back for ")[2].split()[0])
    assert len(path) == max(adjoint.FEWEST, adjoint.PATIENCE * forward) + 1
    assert max(map(abs, path[-1][1])) > adjoint.AWAY * 30


def test_a_state_that_was_large_at_the_start_is_no_runaway(monkeypatch):
    """z' = −z from 1 to e^−12: z̄(t0) is 1.6e5 times what is observed, as it has to be."""
    monkeypatch.setattr(adjoint, "FEWEST", 0)
    monkeypatch.setattr(adjoint, "PATIENCE", 0)
    problem = Problem(
        lambda t, z: -z, torch.ones(1, dtype=DOUBLE), (0.0, 12.0), lambda zs: zs[-1].sum()
    )
    # a(t0) = e^−12. At rtol 1e-3 a state of 6e-6 is below atol, so it is known to its size only.
    assert 0 < backward(problem).gradient.z0.item() < 1e-4

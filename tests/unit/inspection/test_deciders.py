"""What decides when f jumps: the time alone, the state or a parameter."""

import pytest
import torch

from node_diag import Problem
from node_diag.errors import NoReferenceError
from node_diag.field import Field
from node_diag.inspection import switches
from node_diag.records import Inspection, Repeatability
from node_diag.references.exact import exact_reference, held_against
from node_diag.references.sensitivity import sensitivity_reference
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings
from node_diag.truths import trusted

DOPRI5 = SOLVERS.load("dopri5")
TOLERANCE = 1e-6
FIXED = torch.arange(0.3, 2.3, 0.25, dtype=torch.float64)
"""Eight doses: more than are shown."""


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def inspect(func, z0=(0.0,), t1=3.0, **params):
    problem = Problem(func, tensor(*z0), (0.0, t1), lambda zs: zs.sum(), params=params)
    settings = Settings(DOPRI5, TOLERANCE, TOLERANCE)
    return switches.inspect(problem, DOPRI5, integrate(Field(problem), problem.flat_z0(), problem.ts, settings))  # fmt: skip


def static(t, z):
    return torch.stack([torch.where(t > 1 + 0.5 * z[1], 1.0, 0.0), 0.0 * z[1]])


def clock(t, z):
    return torch.stack([torch.where(z[1] > 1, 2.0, 1.0) - z[0], torch.ones_like(z[1])])


def pulses(t, z):
    return -z + 2 * torch.where(torch.sin(20 * t) > z, 1.0, 0.0)


def ninth(t, z):
    return 0.5 + 0.3 * (torch.cat([t - FIXED, (z - 2.0).reshape(1)]) > 0).sum() + 0 * z


def in_python(t, z):
    return 0.5 + 0.3 * (float(z[0].detach()) > 2.0) + 0.3 * (t > FIXED).sum() + 0 * z


@pytest.mark.parametrize(
    ("func", "z0", "at"),
    [
        # At 1 + 0.5 · 0.3; the solver carries the static state to the last bit.
        (static, (0.0, 0.3), 1.15),
        (clock, (0.0, 0.0), 1.0),
        # z = e⁻ᵗ (0.2 − 2) + 2 meets sin 20t there.
        (pulses, (0.2,), 0.01),
        (ninth, (0.0,), None),
        (in_python, (0.0,), None),
    ],
    ids=["static", "clock", "pulses", "ninth", "in python"],
)
def test_the_state_decides_however_it_does(func, z0, at):
    (moved,) = [one for one in inspect(func, z0) if one.jump and one.moved_at is not None]
    assert (moved.in_state, moved.by_parameter) == (True, "")
    if at is not None:
        assert moved.moved_at == pytest.approx(at, abs=1e-4)


def test_rows_of_a_batch_with_their_own_dose_times():
    def func(t, z):
        rows = z.reshape(2, 2)
        dose = torch.where(t > rows[:, 1:], 5.0, 0.0)
        return torch.cat([-rows[:, :1] + dose, 0 * rows[:, 1:]], 1).reshape(-1)

    (found,) = inspect(func, (0.0, 1.0, 0.0, 1.5))
    assert found.in_state


@pytest.mark.parametrize("size", [1, 20, 300])
def test_an_entry_of_a_vector_decides(size):
    """With one learnable dose among fixed ones, behind parameters that matter smoothly."""
    tau, k = torch.linspace(2.5, 2.6, size, dtype=torch.float64), tensor(2.0)
    found = inspect(
        lambda t, z: k * (t > torch.cat([FIXED, tau[-1:]])).sum() - z**2, (0.1,), k=k, tau=tau
    )
    (jump,) = [one for one in found if one.jump]
    assert (jump.in_state, jump.by_parameter, jump.unjudged) == (False, "tau", 0)
    assert jump.moved_at == pytest.approx(float(tau[-1].detach()), abs=1e-9)


@pytest.mark.parametrize(
    "func",
    [
        lambda t, z: -z + (t > FIXED).sum(),
        lambda t, z: -z + sum(1.0 for dose in FIXED.tolist() if float(t.detach()) > dose),
        lambda t, z: torch.sin(torch.floor(10 * t)) - torch.where(z > 0, z, 0.1 * z),
        # Large derivatives in z do not make a jump of the time's one of the state's.
        lambda t, z: torch.tanh(300 * (z - 0.5)) + torch.where(t > 1, 1.0, 0.0),
        # The dose brings the sign of u − z, which depends on z, with it; z does not move it.
        lambda t, z: -z + 0.1 * torch.sign(torch.where(t > 1, 5.0, -5.0) - z),
    ],
    ids=["doses", "doses in python", "table", "steep", "sign brought along"],
)
def test_the_time_alone_decides(func):
    jumps = [one for one in inspect(func, (0.2,)) if one.jump]
    assert jumps
    assert all((one.in_state, one.by_parameter, one.unjudged) == (False, "", 0) for one in jumps)


@pytest.mark.parametrize("most", [2, 40])
def test_what_is_not_looked_into_is_said(monkeypatch, most):
    """29 times the sign of u − z, which depends on z, changes with u, which does not."""
    monkeypatch.setattr(switches, "EXAMINED", most)
    monkeypatch.setattr(switches, "FEWEST", most)

    def func(t, z):
        u = 5 - 10 * torch.remainder(torch.floor(10 * t + 0.5), 2)
        return 0.1 * torch.sign(u - z)

    found = inspect(func)
    sign = next(one for one in found if one.operation == "sign")
    assert sign.crossings >= 29
    assert (sign.moved_at, sign.unjudged > 0) == (None, most == 2)
    problem = Problem(func, tensor(0.0), (0.0, 0.01), lambda zs: zs.sum())  # any truth
    refused = isinstance(trusted(sensitivity_reference(problem), seen(*found)), NoReferenceError)
    assert refused == (most == 2)


def seen(*found):
    repeats = Repeatability(spread=0.0, uses_random_numbers=False, changed=[], suspects=[])
    return Inspection(repeatability=repeats, switches=list(found))


def test_only_a_truth_by_sensitivities_is_refused_for_it():
    """z(3) = z₀ + (3 − 1 − y₀/2): the sensitivity equations say dL/dy₀ = 0, the truth is −1/2."""
    problem = Problem(
        static, tensor(0.0, 0.3), (0.0, 3.0), lambda zs: zs[-1, 0],
        exact=lambda ts, z0, p: torch.stack(
            [z0[0] + torch.relu(ts[1:] - 1 - 0.5 * z0[1]), z0[1].expand(len(ts) - 1)], -1
        ),
    )  # fmt: skip
    inspection = seen(*inspect(static, (0.0, 0.3)))
    other = sensitivity_reference(problem)
    assert other.value[1] == 0
    assert isinstance(trusted(other, inspection), NoReferenceError)
    taken = held_against(problem, exact_reference(problem), other, keep=False)
    truth = trusted(taken, inspection)
    assert not isinstance(truth, NoReferenceError)
    assert truth.value[:2] == pytest.approx([1.0, -0.5], abs=1e-14)  # a few operations

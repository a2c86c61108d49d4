"""How often the host waits for a tensor: on a GPU it is what a step costs."""

import math
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from node_diag import gradient
from node_diag.errors import NonFiniteError
from node_diag.field import Field
from node_diag.loader import load
from node_diag.registry import SOLVERS
from node_diag.solvers.finiteness import UNSEEN, Finiteness
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings


class Waits(TorchDispatchMode):
    """Counts operators; reading a number off a tensor is ``_local_scalar_dense``."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def numbers(self):
        return self.seen["_local_scalar_dense"]


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
def test_an_adaptive_solve_reads_one_number_a_trial(rtol):
    """The error of a trial, which the controller needs; and what the first step takes, once."""
    problem = load("vanderpol")
    settings = Settings(SOLVERS.load("dopri5"), rtol=rtol, atol=rtol)
    with Waits() as waits:
        solution = integrate(Field(problem), problem.flat_z0(), problem.ts, settings)
    # d0, d1, h0, d1, d2, steepest, h1, h0, h, h and whether f is finite at t0: starting_step().
    assert 0 < waits.numbers - (solution.n_accepted + len(solution.rejected)) <= 14


def test_what_the_states_were_is_looked_at_together():
    """64 of them at once where the states are not on the host, whose device is "meta" here."""
    looked = Finiteness(torch.device("meta"))
    with Waits() as waits:
        for i in range(2 * UNSEEN + 1):
            looked.note(float(i), torch.zeros(3))
        assert waits.numbers == 2
        looked.look()
        assert waits.numbers == 3
        looked.look()
    assert waits.numbers == 3


def test_the_first_state_that_is_not_finite_is_told():
    looked = Finiteness(torch.device("meta"))
    for i in range(UNSEEN - 1):
        looked.note(float(i), torch.tensor([1.0, math.nan if i in (7, 9) else 2.0]))
    with pytest.raises(NonFiniteError, match=r"at t = 7\.0") as caught:
        looked.look()
    assert caught.value.t == 7.0
    looked = Finiteness(torch.device("cpu"))
    looked.note(0.0, torch.ones(2))
    with pytest.raises(NonFiniteError, match=r"at t = 1\.0"):
        looked.note(1.0, torch.tensor([math.inf, 0.0]))


def test_a_time_keeps_its_digits_where_it_is_a_plain_number():
    """0.1 is not a float32: torch.as_tensor(0.1) would make it one."""
    seen = []

    def f(t, z):
        seen.append(float(t))
        return t * z

    z0 = torch.ones(1, dtype=torch.float64)
    settings = Settings(SOLVERS.load("euler"), step_size=0.1)
    integrate(f, z0, [0.1, 0.4], settings)
    assert seen[0] == 0.1
    ts = torch.tensor([0.1, 0.4], dtype=torch.float64)
    integrate(f, z0, ts, settings, "frozen")
    assert seen[3] == 0.1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
class TestOnAGpu:
    """What can be seen on a GPU only."""

    def test_the_host_waits_once_a_trial(self, recwarn):
        """Forward in place and with a graph; torch warns of every operation that waits."""
        problem = load("vanderpol").to(torch.float64, torch.device("cuda"))
        settings = Settings(SOLVERS.load("dopri5"), rtol=1e-5, atol=1e-5)
        ts = torch.tensor(problem.ts, dtype=torch.float64)
        for graph in ("none", "frozen"):
            torch.cuda.synchronize()
            recwarn.clear()
            torch.cuda.set_sync_debug_mode("warn")
            try:
                solution = integrate(Field(problem), problem.flat_z0(), ts, settings, graph)
            finally:
                torch.cuda.set_sync_debug_mode("default")
            trials = solution.n_accepted + len(solution.rejected)
            # What the starting step reads, and the tableau's first copy.
            assert trials <= len(recwarn) <= trials + 20

    def test_gradients_are_those_of_the_cpu(self):
        """Same operations in float64: round-off alone, grown along the solve (1e-10 by ND201)."""
        here = load("spiral")
        there = load("spiral").to(torch.float64, torch.device("cuda"))
        for method in ("adjoint", "aca", "naive", "direct"):
            ours, theirs = (gradient(p, method).gradient for p in (here, there))
            assert torch.allclose(theirs.z0.cpu(), ours.z0, rtol=1e-8, atol=1e-12)
            assert torch.allclose(theirs.ts.cpu(), ours.ts, rtol=1e-8, atol=1e-10)
            for name, p in ours.params.items():
                assert torch.allclose(theirs.params[name].cpu(), p, rtol=1e-8, atol=1e-10)

    def test_times_are_those_of_the_device(self):
        """Both passes take time, and no more than the host saw go by."""
        found = gradient(load("spiral").to(torch.float64, torch.device("cuda")), "aca")
        assert found.forward_s > 0
        assert found.backward_s > 0

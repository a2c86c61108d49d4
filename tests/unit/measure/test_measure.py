"""Instruments: exact numbers on cases where they can be counted by hand."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from node_diag.config import CheckConfig
from node_diag.errors import ProblemError
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.gradients.vjp import vjp, watching
from node_diag.loader import load
from node_diag.measure.clock import time_runs
from node_diag.measure.counting import count
from node_diag.measure.graph import GraphDepth, longest_path
from node_diag.measure.memory import LiveBytes, SavedBytes
from node_diag.measure.trajectory import deviation, states_at
from node_diag.preparation import make_setup
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings

DOPRI5 = SOLVERS.load("dopri5")


def test_saved_bytes_count_each_storage_once():
    x = torch.ones(100, dtype=torch.float64, requires_grad=True)
    saved = SavedBytes([x])
    with saved:
        y = x * 2.0  # saves nothing: the factor is a number
        assert saved.peak == 0
        z = y * y  # saves y twice, one storage
        assert saved.peak == 800
        w = z.exp()  # saves its result
        assert saved.peak == 1600
        w.sum().backward()
        v = (x * 3.0).sin()  # after the backward pass y and w are let go; one new tensor
        del v
    assert saved.peak == 1600


def test_parameters_do_not_count_as_saved():
    weight = torch.ones(50, 50, dtype=torch.float64, requires_grad=True)
    x = torch.ones(50, dtype=torch.float64, requires_grad=True)
    saved = SavedBytes([weight])
    with saved:
        weight @ x
    assert saved.peak == 50 * 8


def test_live_bytes_follow_storages_to_their_end():
    live = LiveBytes([])
    with live:
        a = torch.zeros(1000, dtype=torch.float64)
        b = a + 1
        del a
        c = b[:10]  # a view: no storage of its own
        del b
        d = c + 1
    assert live.peak == 16000
    assert d.numel() == 10


def test_longest_path_by_hand():
    x = torch.ones(1, requires_grad=True)
    assert longest_path([x]) == 0
    y = x.exp()
    assert longest_path([y]) == 1
    assert longest_path([y.exp() + y]) == 3
    assert longest_path([y.exp(), y.exp().exp().exp()]) == 4


def test_longest_path_of_a_deep_graph_does_not_recurse():
    x = torch.ones(1, requires_grad=True)
    for _ in range(20_000):
        x = x + 1
    assert longest_path([x]) == 20_000


# Those captured from a script need one.
@pytest.mark.parametrize("name", [n for n in METHODS.names() if not n.startswith("captured")])
def test_counts_are_repeatable_and_leave_the_gradient_alone(name):
    problem = load("vanderpol", {"mu": 1.0, "T": 3.0})
    setup = Setup(*[Settings(DOPRI5, 1e-4, 1e-4)] * 2, record=True)
    method = METHODS.load(name)
    plain = run(name, method, problem, setup)
    first, counts = count(name, method, problem, setup)
    _, again = count(name, method, problem, setup)
    assert counts == again
    assert torch.equal(first.gradient.z0, plain.gradient.z0)
    assert torch.equal(first.gradient.ts, plain.gradient.ts)
    assert (first.nfe_forward, first.nfe_backward) == (plain.nfe_forward, plain.nfe_backward)
    assert counts.peak_bytes >= counts.saved_bytes > 0


def test_aca_memory_is_states_plus_one_step():
    """Four times the parameters and twice the steps: only N_t states and one graph, no product."""
    found = {}
    for hidden in (10, 40):
        for horizon in (1.0, 2.0):
            problem = load("spiral", {"hidden": hidden, "T": horizon, "n_obs": 1, "batch": 4})
            settings = Settings(SOLVERS.load("rk4"), step_size=0.05)
            _, counts = count("aca", METHODS.load("aca"), problem, Setup(settings, settings))
            found[hidden, horizon] = counts.saved_bytes
    states = 20 * 4 * 2 * 8  # twenty more checkpoints of a (4, 2) state
    for hidden in (10, 40):
        assert found[hidden, 2.0] - found[hidden, 1.0] == states


def test_states_between_steps_and_deviation():
    problem = load("linear", {"k": -1.0, "T": 3.0})
    solution = integrate(
        Field(problem), problem.flat_z0(), problem.ts, Settings(DOPRI5, 1e-9, 1e-9)
    )
    times = np.linspace(0.0, 3.0, 50)
    states = states_at(problem, DOPRI5, solution, times)
    # Order-4 dense output of steps that meet 1e-9: the interpolant loses about one power of h.
    np.testing.assert_allclose(states[:, 0], np.exp(-times), rtol=0, atol=1e-6)
    path = [(float(t), [float(np.exp(-t)) + 0.5]) for t in times]
    off = deviation(problem, DOPRI5, solution, path, 1e-6)
    # Half the largest norm of the trajectory, |z0| = 1.
    np.testing.assert_allclose(off.error, 0.5, atol=1e-6)


def test_states_between_steps_backward_in_time():
    problem = load("linear", {"k": -1.0, "T": -2.0})
    solution = integrate(
        Field(problem), problem.flat_z0(), problem.ts, Settings(DOPRI5, 1e-9, 1e-9)
    )
    times = np.linspace(0.0, -2.0, 20)
    states = states_at(problem, DOPRI5, solution, times)
    np.testing.assert_allclose(states[:, 0], np.exp(-times), rtol=1e-6)


def test_timing_repeats_as_told_or_as_pays():
    problem = load("linear")
    setup = Setup(*[Settings(DOPRI5)] * 2)
    aca = {"aca": partial(run, "aca", METHODS.load("aca"), problem, setup)}
    assert time_runs(aca, 2)["aca"].repeats == 2
    times = time_runs(aca, None)["aca"]
    assert 1 <= times.repeats <= 5
    assert times.forward_s > 0
    assert times.backward_s > 0


def test_methods_take_turns_so_that_all_meet_the_same_neighbours():
    """A machine that gets slower and slower: a and b, equally fast, are told to be."""
    seen = []

    def one(name):
        seen.append(name)
        return SimpleNamespace(forward_s=float(len(seen)), backward_s=0.0)

    times = time_runs({name: partial(one, name) for name in "ab"}, 4)
    assert "".join(seen) == "abbaabba"
    # Medians of 1, 4, 5, 8 and of 2, 3, 6, 7; one after the other they were 2.5 and 6.5.
    assert times["a"].forward_s == times["b"].forward_s == 4.5


def test_what_fails_at_its_second_turn_is_told_and_the_others_go_on():
    turns = iter([SimpleNamespace(forward_s=1.0, backward_s=1.0)])

    def fails():
        try:
            return next(turns)
        except StopIteration:
            raise ProblemError("not again") from None

    fine = lambda: SimpleNamespace(forward_s=1.0, backward_s=2.0)  # noqa: E731
    times = time_runs({"fails": fails, "fine": fine}, 3)
    assert str(times["fails"]) == "not again"
    assert times["fine"].repeats == 3


def test_a_deep_graph_that_was_walked_can_be_let_go():
    """It used to overflow the stack: 100,000 nodes, five frames each."""
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    depth = GraphDepth()
    with watching(depth):
        vjp([y], [x], [torch.ones(2, dtype=torch.float64)])
    assert depth.total == 100_000
    del y
    depth.release()


def test_a_long_solve_is_counted_without_overflowing_the_stack():
    problem = load("linear", {"T": 1.0})
    setup = make_setup(problem, CheckConfig(solver="euler", step_size=1 / 15_000))
    _, counts = count("direct", METHODS.load("direct"), problem, setup)
    assert counts.graph_depth > 40_000

"""Gradients from a function of the user's, and solvers of their own."""

import math

import numpy as np
import pytest
import torch

from node_diag import Problem, check, from_solver, gradient
from node_diag.config import CheckConfig
from node_diag.errors import ProblemError
from node_diag.gradients.base import run
from node_diag.gradients.lookup import UserFunction, method_of
from node_diag.loader import load
from node_diag.preparation import make_setup

FILE = '''
import numpy as np
import node_diag

def closed(problem):
    """z' = kz: z(T) = z0 e^(kT), L = z(T)²."""
    k, z0, (t0, t1) = float(problem.params["k"]), float(problem.z0), problem.ts
    z = z0 * np.exp(k * (t1 - t0))
    return z**2, {"z0": 2 * z**2 / z0, "k": 2 * z**2 * (t1 - t0), "t0": -2 * z**2 * k, "t1": 2 * z**2 * k}

def timeless(problem):
    loss, found = closed(problem)
    return loss, {"z0": found["z0"], "k": found["k"]}

def half_k(problem):
    loss, found = closed(problem)
    return loss, {**found, "k": found["k"] / 2}

EULER = node_diag.from_solver(
    lambda f, z0, ts: z0 + (ts[1] - ts[0]) * f(ts[0], z0).reshape(1, *z0.shape)
)
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def _run(function, problem=None):
    problem = problem or load("linear", {})
    return run("mine", UserFunction(function), problem, make_setup(problem, CheckConfig()))


def test_a_closed_form_is_right_and_a_halved_entry_is_named(file):
    report = check(load("linear", {}), methods=["aca", f"{file}:closed", f"{file}:half_k"])
    closed, _ = report.methods[1:]
    # Formulas of float64 against formulas of float64.
    assert closed.errors.continuous.judged < 1e-14
    assert closed.errors.continuous.times.judged < 1e-14
    assert closed.reconstruction is None
    finding = next(f for f in report.findings if f.method == "half_k")
    assert (finding.code, finding.severity) == ("ND201", "error")
    assert "all of it in k" in finding.message
    assert list(finding.evidence["by_tensor"]) == ["k"]
    assert not any(f.method == "closed" for f in report.findings)


@pytest.mark.parametrize(
    ("times", "given", "words"),
    [
        ((0.0, 0.5, 1.0), ("t0", "t1"), "for t0 and t1 of 3 times; return 'ts'"),
        ((0.0, 1.0), ("t0",), "for t0 of 2 times; return 'ts'"),
    ],
)
def test_a_gradient_in_some_times_is_not_dropped_without_a_word(times, given, words):
    problem = Problem(lambda t, z: -z, torch.ones(1).double(), times, lambda zs: zs.sum())
    found = dict.fromkeys(given, 0.0) | {"z0": torch.zeros(1).double()}
    with pytest.raises(ProblemError, match=words):
        _run(lambda problem: (0.0, found), problem)


def test_nothing_is_said_of_times_that_it_gives_no_gradient_in(file):
    report = check(load("linear", {}), methods=[f"{file}:timeless"])
    [method] = report.methods
    assert method.gradient.t0 is None
    assert method.gradient.ts == []
    assert method.errors.continuous.times is None
    assert set(method.errors.continuous.by_parameter) == {"z0", "k"}
    assert not any(f.method == "timeless" for f in report.findings)


def test_it_gets_the_settings_it_asks_for_and_its_evaluations_are_counted():
    seen = {}

    def mine(problem, rtol, solver):
        seen.update(rtol=rtol, solver=solver)
        for _ in range(7):
            problem.func(torch.tensor(0.0, dtype=torch.float64), problem.z0)
        return 1.0, {"z0": [0.0], "k": 0.0}

    found = _run(mine)
    assert seen == {"rtol": 1e-5, "solver": "dopri5"}
    assert found.nfe_forward == 7
    plain = load("linear", {})
    plain.func = lambda t, z, inner=plain.func: inner(t, z)
    assert _run(mine, plain).nfe_forward == 7


def test_tensors_arrays_lists_and_tuples_are_gradients():
    problem = load("spiral", {})

    def mine(p):
        found = {name: np.ones(x.shape, dtype=np.float32) for name, x in p.params.items()}
        return torch.tensor(2.0), {"z0": torch.ones(p.z0.shape).tolist(), **found}

    found = _run(mine, problem)
    assert found.loss == 2.0
    assert all(bool((g == 1).all()) for g in found.gradient.params.values())
    assert not found.knows_times


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (3.0, "returned a float; a gradient function returns"),
        ((3.0, [1.0]), "its gradients are a list"),
        ((3.0, {"z0": [1.0]}), "no gradient for k"),
        ((3.0, {"z0": [1.0], "k": 1.0, "q": 1.0}), "for 'q', which is neither"),
        ((3.0, {"z0": [1.0, 2.0], "k": 1.0}), r"of shape \(2,\) for z0, which has shape \(1,\)"),
        (("x", {"z0": [1.0], "k": 1.0}), "its loss is a str"),
        ((3.0, {"z0": "x", "k": 1.0}), "its gradient for z0 is a str"),
        ((3.0, {"z0": [1.0], "k": None}), r"returned None for k; .* zeros of shape \(\)"),
        ((3.0, {"z0": [1.0], "k": [1.0]}), r"of shape \(1,\) for k, which has shape \(\)"),
    ],
)
def test_what_is_no_gradient_is_told(returned, words):
    with pytest.raises(ProblemError, match=words):
        _run(lambda problem: returned)


def test_what_it_raises_and_what_it_changes_is_told():
    def raises(problem):
        raise RuntimeError("no more")

    def changes(problem):
        with torch.no_grad():
            problem.params["k"].mul_(2)
        return 1.0, {"z0": [0.0], "k": 0.0}

    with pytest.raises(ProblemError, match="the function raised RuntimeError: no more"):
        _run(raises)
    with pytest.raises(ProblemError, match="it changed the parameter k"):
        _run(changes)


def test_what_it_does_to_z0_is_its_own_affair(tmp_path):
    """It gets a z0 of its own in every call; whoever comes after it has the problem's."""
    path = tmp_path / "mine.py"
    path.write_text(
        FILE
        + """
def careless(problem):
    found = closed(problem)
    problem.z0.mul_(3).requires_grad_()
    return found
""",
        encoding="utf-8",
    )
    methods = [f"{path}:careless", f"{path}:closed", "aca"]
    report = check(load("linear", {}), methods=methods, repeat=2)
    # Formulas of float64; and aca at rtol 1e-5, whose error is a few hundred times that at most.
    assert [m.status for m in report.methods] == ["ok", "ok", "ok"]
    for method, most in zip(report.methods, (1e-14, 1e-14, 5e-3), strict=True):
        assert method.errors.continuous.judged < most
    assert report.findings == []


def test_nan_is_no_gradient(tmp_path):
    with pytest.raises(ProblemError, match="the loss it returned is nan"):
        _run(lambda p: (math.nan, {"z0": [1.0], "k": 1.0}))
    with pytest.raises(ProblemError, match="gradient for k is complex"):
        _run(lambda p: (1.0, {"z0": [1.0], "k": 1j}))
    path = tmp_path / "mine.py"
    path.write_text("def mine(problem):\n    return 1.0, {'z0': [float('nan')], 'k': 1.0}\n")
    report = check(load("linear", {}), [f"{path}:mine"], ["mine.grad_error<=1"], repeat=1)
    assert report.methods[0].verdict != "pass"
    assert not report.passed


def test_a_solver_of_ones_own_is_one_line(file):
    """One Euler step of z' = kz: z1 = z0 (1 + kT), so dL/dz0 = 2 z0 (1 + kT)²."""
    found = gradient(load("linear", {"k": 0.5, "T": 1.0, "z0": 3.0}), f"{file}:EULER")
    assert float(found.gradient.z0) == pytest.approx(2 * 3.0 * 1.5**2, rel=1e-15)
    assert found.nfe_forward == 1


@pytest.mark.parametrize(
    ("solve", "words"),
    [
        (lambda f, z0, ts: z0.repeat(5, 1), r"states of shape \(5, 1\)"),
        (lambda f, z0, ts: z0.detach()[None], "without a graph"),
    ],
)
def test_states_that_cannot_be_used_are_told(solve, words):
    problem = load("linear", {})
    with pytest.raises(ProblemError, match=words):
        run("mine", from_solver(solve), problem, make_setup(problem, CheckConfig()))


def test_an_autograd_function_with_a_wrong_backward_is_caught(tmp_path):
    path = tmp_path / "solver.py"
    path.write_text(
        '''
import torch, node_diag

class Solve(torch.autograd.Function):
    """Closed form of z' = kz forward, a wrong one backward."""

    @staticmethod
    def forward(ctx, z0, ts, k):
        ctx.save_for_backward(z0, ts, k)
        return (z0 * torch.exp(k * (ts[1] - ts[0])))[None]

    @staticmethod
    def backward(ctx, grad):
        z0, ts, k = ctx.saved_tensors
        T = ts[1] - ts[0]
        z = z0 * torch.exp(k * T)
        a = grad[0]
        return a * z / z0, torch.stack([-(a * k * z).sum(), (a * k * z).sum()]), (a * z * T * 3).sum()

METHOD = node_diag.from_solver(lambda f, z0, ts: Solve.apply(z0, ts, *f.parameters()))
''',
        encoding="utf-8",
    )
    report = check(load("linear", {}), methods=["aca", str(path)])
    finding = next(f for f in report.findings if f.severity == "error")
    assert finding.method == "solver"
    assert "all of it in k" in finding.message


def test_a_class_is_not_a_function(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("class METHOD: ...", encoding="utf-8")
    with pytest.raises(ProblemError, match="is the class METHOD"):
        method_of(str(path))


def test_numbers_cannot_be_differentiated_again(file):
    report = check(load("linear", {}), [f"{file}:closed"], order=2, repeat=1)
    assert "returns numbers without a graph" in report.methods[0].second_order.reason

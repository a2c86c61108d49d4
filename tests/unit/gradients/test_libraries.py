"""Other libraries' methods: run as they are, judged by the derivative of their own steps."""

import numpy as np
import pytest
import torch

from node_diag import check, check_model, gradient
from node_diag.config import CheckConfig
from node_diag.diagnosis.rule import diagnose
from node_diag.errors import MaxStepsError, ProblemError, UsageError
from node_diag.field import Field
from node_diag.gradients.base import run
from node_diag.gradients.lookup import method_of
from node_diag.loader import load
from node_diag.preparation import make_setup
from node_diag.problem import Problem
from node_diag.references.base import flatten
from node_diag.references.finite_difference import steps_reference
from node_diag.registry import METHODS

LIBRARIES = {
    name for name in METHODS.names() if METHODS.requires(name) and not name.startswith("captured")
}


def _own(name, problem, **options):
    """A method's gradient, and the truth of the steps it took."""
    setup = make_setup(problem, CheckConfig(**options))
    method = method_of(name)
    found = run(name, method, problem, setup)
    truth = steps_reference(problem, method.steps(Field(problem), found.solution, setup))
    main = slice(0, truth.value.size - len(problem.ts))
    return flatten(found.gradient)[main], truth.value[main], truth.bar[main], found


def test_every_library_is_installed_where_the_tests_run():
    assert {METHODS.requires(name) for name in LIBRARIES} == {
        "torchdiffeq", "torchode", "TorchDiffEqPack",
    }  # fmt: skip
    assert not any(METHODS.missing(name) for name in LIBRARIES)


@pytest.mark.parametrize(
    ("problem", "solver"),
    [
        *[("vanderpol", solver) for solver in ("dopri5", "tsit5", "heun-euler", "euler")],
        ("lotkavolterra", "dopri5"),
        ("spiral", "tsit5"),
    ],
)
def test_torchode_without_step_size_gradients_is_the_derivative_of_its_steps(problem, solver):
    options = {"solver": solver, "rtol": 1e-4}
    overrides = {"mu": 1.0, "T": 5.0} if problem == "vanderpol" else {}
    own, truth, bar, _ = _own("torchode-frozen", load(problem, overrides), **options)
    # Both are exact but for round-off, which is in the bar.
    assert np.linalg.norm(own - truth) <= np.linalg.norm(bar) + 1e-12 * np.linalg.norm(truth)


def test_torchodes_switch_is_what_separates_our_naive_from_our_aca():
    """torchode is to torchode-frozen what naive is to aca: right on the steps, or with their terms."""
    problem = load("vanderpol", {"mu": 1.0, "T": 10.0})
    kept, truth, _, _ = _own("torchode-frozen", problem, rtol=1e-3)
    with_terms, truth_again, _, _ = _own("torchode", problem, rtol=1e-3)
    assert np.array_equal(truth, truth_again)
    assert np.linalg.norm(with_terms - truth) > 1e6 * np.linalg.norm(kept - truth)
    naive, aca, direct = (
        flatten(gradient(problem, name, rtol=1e-3, atol=1e-3).gradient)[: truth.size]
        for name in ("naive", "aca", "direct")
    )
    assert np.linalg.norm(naive - direct) > 1e6 * np.linalg.norm(aca - direct)


def test_on_a_fixed_step_solver_both_are_ours():
    """The same Euler steps: backprop through them is one thing, whoever does it.

    200 additions of numbers of size one leave 200 roundings of 1.1e-16.
    """
    problem = load("vanderpol", {"mu": 1.0, "T": 2.0})
    options = {"solver": "euler", "step_size": 0.01}
    ours = gradient(problem, "direct", **options)
    for name in ("torchode", "torchode-frozen", "torchdiffeq"):
        theirs = gradient(problem, name, **options)
        gap = flatten(theirs.gradient) - flatten(ours.gradient)
        assert np.max(np.abs(gap)) < 1e-11 * np.max(np.abs(flatten(ours.gradient)))


def test_torchdiffeq_leaves_its_starting_step_in_the_graph_and_nothing_else():
    """Its issue 284: backprop misses the derivative of its steps, unless it is given a first step.

    The gradient with a given one is exact, so it is within the bar of the differences.
    """
    from torchdiffeq import odeint

    from node_diag.gradients.peers.with_torchdiffeq import TorchdiffeqReplay

    problem = load("vanderpol", {})
    own, truth, bar, found = _own("torchdiffeq", problem, rtol=1e-5)
    leak = np.linalg.norm(own - truth) / np.linalg.norm(truth)
    assert 1e-6 < leak < 1e-3
    setup = make_setup(problem, CheckConfig(rtol=1e-5))
    z0 = problem.flat_z0().requires_grad_()
    ts = torch.tensor(problem.ts, dtype=torch.float64)
    h = found.solution.grid.h[0]
    zs = odeint(problem.func, z0, ts, rtol=1e-5, atol=1e-5, method="dopri5",
                options={"first_step": h})  # fmt: skip
    grads = torch.autograd.grad(problem.loss(zs[1:]), [z0, *problem.params.values()])
    given = torch.cat([g.reshape(-1) for g in grads]).numpy()
    assert np.linalg.norm(given - truth) <= np.linalg.norm(bar)
    replayed = TorchdiffeqReplay(found.solution.grid.h, "dopri5", setup.forward)
    with torch.no_grad():
        again = replayed(Field(problem), problem.flat_z0(), ts)
    assert torch.allclose(again, found.solution.zs.detach(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", ["torchdiffeq-adjoint", "torchdiffeq-seminorm",
                                  "torchode-backsolve", "torchode-joint-backsolve"])  # fmt: skip
def test_a_reverse_time_solve_is_followed_back_to_t0(name):
    problem = load("vanderpol", {"mu": 1.0, "T": 3.0})
    found = gradient(problem, name, rtol=1e-8, atol=1e-8)
    path = found.backward.reconstruction
    assert path[-1][0] == pytest.approx(0.0, abs=1e-12)
    # The flow contracts by less than 1e3 on this interval: 1e-8 becomes 1e-5 at most.
    assert path[-1][1] == pytest.approx(problem.flat_z0().tolist(), abs=1e-5)
    # A step is seen where it starts by torchdiffeq, which adds the end, and where it ends by torchode.
    assert found.backward.n_steps == len(path) - ("torchdiffeq" in name)
    times = [t for t, _ in path]
    assert times == sorted(set(times), reverse=True)


@pytest.mark.parametrize("name", sorted(LIBRARIES - {"torchdiffeqpack-mali"}))
def test_all_solve_backward_in_time_with_several_observations_and_tuples(name):
    """z' = −z from t = 1 down to 0: closed form dL/dz0 = 2 Σ_k z_k e^(1 − t_k)."""
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    z0 = (torch.tensor([1.0], dtype=torch.float64), torch.tensor([[0.5]], dtype=torch.float64))
    problem = Problem(
        lambda t, z: (-weight * z[0], -weight * z[1]),
        z0,
        [1.0, 0.6, 0.0],
        lambda zs: zs[0].square().sum() + zs[1].square().sum(),
        params={"weight": weight},
    )
    found = gradient(problem, name, solver="dopri5", rtol=1e-9, atol=1e-9)
    growth = np.exp(2 * np.array([0.4, 1.0])).sum()
    # Tolerance 1e-9, errors growing e-fold; TorchDiffEqPack has its times in float32.
    rel = 3e-7 if name.startswith("torchdiffeqpack") else 1e-7
    assert found.gradient.z0.tolist() == pytest.approx([2 * growth, growth], rel=rel)


def test_mali_is_the_derivative_of_its_steps():
    own, truth, bar, found = _own("torchdiffeqpack-mali", load("linear", {}), rtol=1e-3)
    # Its steps are differences of times in float32, rounded by 6e-8 each.
    rounding = 6e-8 * len(found.solution.grid.h) * np.linalg.norm(truth)
    assert np.linalg.norm(own - truth) <= np.linalg.norm(bar) + rounding


def test_a_solve_that_ran_out_of_steps_without_a_word_is_told():
    problem = load("vanderpol", {})
    with pytest.raises(MaxStepsError, match="without a word"):
        gradient(problem, "torchdiffeqpack-mali", rtol=1e-5, max_steps=200)


def test_running_out_of_steps_is_a_solve_error_everywhere():
    problem = load("vanderpol", {})
    for name in ("torchdiffeq", "torchode-frozen", "torchdiffeqpack-aca"):
        with pytest.raises(MaxStepsError):
            gradient(problem, name, rtol=1e-9, atol=1e-9, max_steps=20)


def test_a_solver_that_a_library_does_not_have_is_told_with_those_it_has():
    with pytest.raises(UsageError, match=r"torchode has no solver 'bosh3'.*dopri5"):
        gradient(load("linear", {}), "torchode", solver="bosh3")


def test_sensitivities_in_the_error_control_are_ours_alone():
    with pytest.raises(UsageError, match="controls the error of the state alone"):
        gradient(load("linear", {}), "torchdiffeq", control="sensitivities")


def test_a_library_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr("node_diag.registry.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs torchode, which is not installed: pip install"):
        method_of("torchode")


def test_f_that_raises_keeps_its_own_error():
    def f(t, z):
        raise ValueError("no such state")

    problem = Problem(f, torch.ones(1), [0.0, 1.0], lambda zs: zs.sum())
    for name in ("torchdiffeq", "torchode", "torchdiffeqpack-aca"):
        method, setup = method_of(name), make_setup(problem, CheckConfig())
        with pytest.raises(ProblemError, match="f raised ValueError: no such state"):
            run(name, method, problem, setup)


def test_f_that_raises_backward_keeps_its_own_error_where_its_time_has_no_value():
    """torchode's reverse solve calls f under vmap."""

    def f(t, z):
        try:
            float(t)
        except RuntimeError:
            raise ValueError("no such state") from None
        return -z

    problem = Problem(f, torch.ones(1), [0.0, 1.0], lambda zs: zs.sum())
    method, setup = method_of("torchode-backsolve"), make_setup(problem, CheckConfig())
    with pytest.raises(ProblemError, match="f raised ValueError: no such state"):
        run("torchode-backsolve", method, problem, setup)


FIXED_FAILS = "torchdiffeqpack-aca"
"""Raises in its backward pass with fixed steps: docs/libraries.md."""


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        *((name, "dopri5") for name in sorted(LIBRARIES - {"torchdiffeqpack-mali"})),
        ("torchdiffeqpack-mali", "heun-euler"),
        *((name, "euler") for name in sorted(LIBRARIES - {"torchdiffeqpack-mali", FIXED_FAILS})),
    ],
)
def test_all_solve_in_float32(name, solver):
    """A library may make a float64 state of a float32 one beside float64 times."""
    precise = load("spiral", {"batch": 4})
    options = {"solver": solver, "rtol": 1e-3, "atol": 1e-3}
    found, same = (
        gradient(problem, name, **options).gradient
        for problem in (precise.to(torch.float32, torch.device("cpu")), precise)
    )
    assert {p.dtype for p in (found.z0, *found.params.values())} == {torch.float32}
    own, true = (
        np.concatenate([g.z0, *(p.ravel() for p in g.params.values())]) for g in (found, same)
    )
    # A hundred steps and fewer, each rounded by 6e-8 and a step size that is as much off.
    assert np.linalg.norm(own - true) <= 1e-4 * np.linalg.norm(true)


def test_second_derivatives_are_those_of_its_steps_or_named_as_lost():
    methods = ["direct", "torchode-frozen", "torchdiffeq-adjoint"]
    report = check(load("linear", {}), methods, order=2, repeat=1)
    second = {m.name: m.second_order for m in report.methods}
    assert second["torchode-frozen"].differentiated == "its own accepted steps"
    error = second["torchode-frozen"].error
    # The same map differentiated twice: within the bar of the differences.
    assert error.relative_l2 <= error.uncertainty
    # Its backward pass leaves no graph: the product is zero, which is all of the truth away from it.
    assert second["torchdiffeq-adjoint"].error.relative_l2 == pytest.approx(1.0, abs=1e-12)
    (finding,) = [f for f in report.findings if f.code == "ND208"]
    assert (finding.method, finding.severity) == ("torchdiffeq-adjoint", "error")
    assert "torchdiffeq cannot be differentiated twice this way" in finding.advice


@pytest.fixture(scope="module")
def van_der_pol():
    methods = ["torchdiffeq-adjoint", "torchdiffeq", "torchdiffeqpack-aca", "aca"]
    return check(load("vanderpol", {}), methods, rtol=1e-4, repeat=1)


@pytest.mark.parametrize("other", ["torchdiffeq", "aca"])
def test_a_reverse_time_failure_is_cured_in_the_librarys_own_words(van_der_pol, other):
    run = [m for m in van_der_pol.methods if m.name in ("torchdiffeq-adjoint", other)]
    findings = diagnose(van_der_pol.model_copy(update={"methods": run}))
    (finding,) = [f for f in findings if f.code == "ND101"]
    assert "torchdiffeq's odeint in the place of odeint_adjoint" in finding.advice
    assert finding.advice.endswith("--method torchdiffeq")


def test_a_library_that_misses_its_steps_by_little_is_not_called_wrong(van_der_pol):
    """TorchDiffEqPack has its times in float32: 1e-6 of the gradient, beside 2 % of steps."""
    (finding,) = [f for f in van_der_pol.findings if f.code == "ND201"]
    assert (finding.method, finding.severity) == ("torchdiffeqpack-aca", "warning")
    assert not van_der_pol.method("torchdiffeqpack-aca").accused


class Conditioned(torch.nn.Module):
    """It holds what an encoder computed."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(4, 2).double()
        self.context = None

    def forward(self, t, y):
        return torch.tanh(self.net(torch.cat([y, self.context], -1)))


@pytest.mark.parametrize(
    ("method", "instead"),
    [
        ("torchdiffeq-adjoint", "torchdiffeq"),
        ("torchode-backsolve", "torchode"),
        ("torchdiffeqpack-aca", "direct"),
    ],
)
def test_a_context_is_no_parameter_to_a_library(method, instead):
    """As called by default, none gives the encoder a gradient but those through the graph."""
    torch.manual_seed(0)
    f, encoder = Conditioned(), torch.nn.Linear(3, 2).double()
    f.context = encoder(torch.randn(4, 3).double())
    z0 = torch.randn(4, 2).double()
    report = check_model(
        f, z0, [0.0, 1.0], lambda zs: zs.square().sum(), methods=[method, instead], repeat=1
    )
    (finding,) = [f for f in report.findings if f.code == "ND212"]
    assert (finding.method, finding.evidence["tensors"]) == (method, ["context"])
    assert f"methods=['{instead}']" in finding.advice
    right = report.method(instead).errors.continuous.by_parameter["context"]
    assert right.relative_l2 < 1e-3  # rtol 1e-5, and a hundred times that for a tame flow
    held = report.method(method).errors.continuous.by_parameter["net.weight"]
    assert held.relative_l2 < 1e-3

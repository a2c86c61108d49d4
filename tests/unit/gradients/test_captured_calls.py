"""Calls of torchdiffeq whose f holds more than its parameters: the gradient they give is told."""

import copy
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint

from node_diag import Monitor, capture, check_model, gradient
from node_diag.errors import ProblemError
from tests.stub_calls import CODE, ONES, Held, Shared, T, encoder, told, trained


def test_two_outputs_of_one_operation_are_two_tensors():
    """chunk() has one node for both: told of one, the adjoint gives the other none."""
    f, enc = Held(), encoder()
    f.scale, f.shift = enc(CODE).chunk(2)
    found = told(trained(f, adjoint_params=(*f.parameters(), f.scale)))
    assert torch.equal(found["net.weight"], f.net.weight.grad)
    assert found["shift"].tolist() == [0.0, 0.0]
    # Linear's bias: the gradient in scale is that in the first two, and all that arrived there.
    assert torch.equal(torch.cat([found["scale"], found["shift"]]), enc.bias.grad)


def test_a_closure_over_two_outputs_of_one_operation():
    f, enc = Held(), encoder()
    scale, shift = enc(CODE).chunk(2)
    captured = trained(lambda t, y: scale * torch.tanh(f.net(y)) + shift, solve=odeint)
    found = told(captured)
    assert torch.equal(torch.cat([found["scale"], found["shift"]]), enc.bias.grad)


def _twice():
    f, enc = Held(), encoder(2)
    f.scale = enc(CODE)
    yield f, (f.scale, *enc.parameters()), r"scale is among .* beside adjoint_params\[1\]"
    f = Held()
    f.scale = encoder(2)(CODE)
    f.shift = torch.tanh(f.scale)
    yield f, (*f.parameters(), f.scale, f.shift), "shift is among .* beside scale"
    f = Held()
    f.scale = encoder(2)(CODE) * f.net.bias
    yield f, (*f.parameters(), f.scale), r"scale is among .* beside net\.bias"
    f, enc, net = None, encoder(2), Held().net
    scale = enc(CODE)
    yield lambda t, y: net(y) * scale, (scale, enc.bias), r"scale is among .* beside adjoint"


@pytest.mark.parametrize("case", range(4))
def test_a_tensor_told_beside_one_it_was_computed_from_counts_twice(case):
    """torchdiffeq goes through the graph that f holds, and autograd goes there once more."""
    func, params, words = list(_twice())[case]
    captured = trained(func, adjoint_params=params)
    with pytest.raises(ProblemError, match=words):
        told(captured)


def test_it_is_twice_indeed():
    f, enc = Held(), encoder(2)
    grads = []
    for told_of in ("scale", "both"):
        enc.zero_grad()
        f.scale = enc(CODE)
        params = (f.scale,) if told_of == "scale" else (f.scale, *enc.parameters())
        odeint_adjoint(f, ONES, T, adjoint_params=params)[-1].sum().backward()
        grads.append(enc.bias.grad.clone())
    # The same solve but for its size: the reverse state is longer, at tolerances of 1e-7.
    assert torch.allclose(grads[1], 2 * grads[0], rtol=1e-4)


def test_a_tensor_of_which_a_part_is_told_is_named():
    """w's way through scale is followed, the encoder's is not."""
    f = Held()
    f.scale = encoder(2)(CODE) * f.net.bias
    with pytest.raises(ProblemError, match=r"scale was computed from net\.bias, .* and from more"):
        told(trained(f))
    f.scale = encoder(2)(CODE) * f.net.bias
    assert "scale" in told(trained(f, adjoint_params=(f.net.weight, f.scale)))


@pytest.mark.parametrize("kind", ["buffer", "list", "dict", "lock", "shared"])
def test_a_context_is_found_wherever_it_is_held(kind):
    """The adjoint of f's own parameters gives it none; told of it, the encoder's bias has it."""

    class Elsewhere(Shared if kind == "shared" else Held):
        def forward(self, t, y):
            held = {"list": lambda: self.box[0], "dict": lambda: self.box["x"]}
            return torch.tanh(self.net(y)) + held.get(kind, lambda: self.ctx)()

    f, enc = Elsewhere(), encoder(2)
    if kind == "buffer":
        f.register_buffer("ctx", torch.zeros(2))
    if kind == "lock":
        f.lock = threading.Lock()
    name = {"list": "box[0]", "dict": "box[x]"}.get(kind, "ctx")
    for is_told in (False, True):
        enc.zero_grad(set_to_none=True)
        context = enc(CODE)
        if kind in ("list", "dict"):
            f.box = [context] if kind == "list" else {"x": context}
        else:
            f.ctx = context
        captured = trained(f, adjoint_params=(*f.parameters(), context) if is_told else None)
        found = told(captured)[name]
        if is_told:
            assert torch.equal(found, enc.bias.grad)
            problem = captured.problem
            by_graph = gradient(problem, "direct", rtol=1e-9, atol=1e-9).gradient.params[name]
            # torchdiffeq's own tolerances, 1e-7 and 1e-9.
            assert torch.allclose(by_graph, found, rtol=1e-5)
        else:
            assert enc.bias.grad is None
            assert found.tolist() == [0.0, 0.0]


def test_a_bound_method_reads_what_its_module_holds():
    class Latent(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc, self.net = encoder(2), Held().net

        def dynamics(self, t, y):
            self.last = torch.tanh(self.net(y) + self.context)
            return self.last

        def forward(self, solve):
            self.context = self.enc(CODE)
            return trained(self.dynamics, solve=solve)

    model = Latent()
    found = told(model(odeint))
    assert sorted(found) == ["context", "net.bias", "net.weight"]
    assert torch.equal(found["context"], model.enc.bias.grad)


def test_what_the_adjoint_is_told_of_elsewhere_is_found():
    other = Held().net

    class Reading(Held):
        def forward(self, t, y):
            return super().forward(t, y) + other(y)

    f = Reading()
    found = told(trained(f, adjoint_params=(*f.parameters(), *other.parameters())))
    # Parameters in another order are added up in another order, in the norm of the reverse state.
    assert torch.allclose(found["other.weight"], other.weight.grad, rtol=1e-12)
    assert torch.allclose(found["net.weight"], f.net.weight.grad, rtol=1e-12)


@pytest.mark.parametrize("read", ["box", "ctx"])
def test_a_context_that_is_held_twice_is_one(read):
    class Both(Held):
        def forward(self, t, y):
            return torch.tanh(self.net(y)) + (self.box[0] if read == "box" else self.ctx)

    f, enc = Both(), encoder(2)
    f.box = [enc(CODE)]
    f.ctx = f.box[0]
    found = told(trained(f, adjoint_params=(*f.parameters(), f.ctx)))
    assert sorted(found) == ["box[0]", "net.bias", "net.weight"]
    assert torch.equal(found["box[0]"], enc.bias.grad)


def test_a_context_that_is_read_for_a_moment_is_found():
    class Moment(Held):
        def forward(self, t, y):
            value = super().forward(t, y)
            return value + self.ctx if 0.3 < float(t.detach()) < 0.45 else value

    f = Moment()
    f.ctx = encoder(2)(CODE)
    captured = trained(f, method="rk4", options={"step_size": 0.05})
    assert captured.problem.contexts == ("ctx",)


def test_a_model_whose_copies_share_its_tensors_keeps_its_precision():
    f = Shared().float()
    f.scale, f.shift = f.scale.float(), f.shift.float()
    before = copy.copy(dict(f.named_parameters()))
    check_model(f, torch.ones(2), [0.0, 1.0], lambda zs: zs.sum(), methods=["aca"], repeat=1)
    odeint(f, torch.ones(2), torch.tensor([0.0, 1.0])).sum().backward()
    Monitor(f).step(torch.ones(2), [0.0, 1.0], lambda zs: zs.sum())
    assert all(p is before[name] for name, p in f.named_parameters())
    assert {p.dtype for p in f.parameters()} == {torch.float32}


def test_its_parameters_are_those_of_the_moment():
    f = Shared()
    captured = trained(f)
    own = f.net.weight.grad.clone()
    with torch.no_grad():
        f.net.weight.mul_(3.0)
    # Parameters in another order are added up in another order, in the norm of the reverse state.
    assert torch.allclose(told(captured)["net.weight"], own, rtol=1e-12)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(2, dtype=torch.float64)])
def test_a_function_leaves_random_numbers_and_norms_alone(layer):
    rows = torch.randn(4, 2, dtype=torch.float64)
    net = nn.Sequential(Held().net, layer)
    alone = copy.deepcopy(net)

    def step(net, context):
        torch.manual_seed(2)
        with context as captured:
            odeint(lambda t, y: torch.tanh(net(y)), rows, T, method="rk4").sum().backward()
        return captured, torch.rand(1)

    _, expected = step(alone, nullcontext())
    captured, drawn = step(net, capture())
    assert torch.equal(drawn, expected)
    monitor = Monitor(lambda t, y: torch.tanh(net(y)), params=dict(net.named_parameters()))
    monitor.step(rows, T, lambda zs: zs.sum())
    assert captured.problem.params
    for mine, theirs in zip(net.buffers(), alone.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_monitor_does_not_judge_what_does_not_go_through_f_alone():
    f = Held()
    f.scale = f.net.bias * 2.0
    odeint(f, ONES, T)[-1].sum().backward()
    reading = Monitor(f, reconstruct=False).step(ONES, T, lambda zs: zs[-1].sum())
    assert "f holds scale, computed from its parameters before" in reading.failure
    f.scale = encoder(2)(CODE)  # the gradient in f's own parameters does not need it
    f.zero_grad()
    odeint(f, ONES, T, rtol=1e-9, atol=1e-9)[-1].sum().backward()
    reading = Monitor(f, reconstruct=False).step(ONES, T, lambda zs: zs[-1].sum())
    assert not reading.failure
    assert reading.error < 1e-6  # the solve's 1e-9, and the reference's own


def test_adjoint_params_that_are_a_tensor_do_not_break_the_script():
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    trained(lambda t, y: -weight * y, adjoint_params=weight)


class Hamiltonian(nn.Module):
    """z' = J ∂H/∂z; asks the state for gradients only where it does not require one already."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.h = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1, bias=False)).double()

    def forward(self, t, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_(True)
            (slope,) = torch.autograd.grad(self.h(x).sum(), x, create_graph=True)
        return torch.stack([slope[..., 1], -slope[..., 0]], -1)


@pytest.mark.parametrize("asks", [True, False])
def test_an_f_that_differentiates_in_its_state_can_do_so(asks):
    """A view made without gradients says that it requires one, but is no part of a graph."""
    f, x = Hamiltonian(), torch.randn(3, 2, dtype=torch.float64).requires_grad_(asks)
    with capture() as captured:
        odeint_adjoint(f, x, T, rtol=1e-8, atol=1e-8)[-1].square().sum().backward()
    own, given = told(captured), {name: p.grad for name, p in f.named_parameters()}
    for name, value in given.items():
        # Both are backward solves at 1e-8, from states that differ by as much.
        torch.testing.assert_close(own[name], value, rtol=1e-6, atol=1e-7)
    problem = captured.problem
    for method in ("adjoint", "aca", "naive", "direct"):
        found = gradient(problem, method, rtol=1e-8, atol=1e-8).gradient.params
        for name, value in given.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["attribute", "list"])
def test_a_leaf_that_no_parameters_name_gets_no_gradient(kind):
    """A plain tensor as an attribute, or a parameter in a list: no .parameters() has it."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 2, dtype=torch.float64)
            self.own = [self.net.weight]  # which is registered, and nothing new
            scale = torch.full((2,), 1.5, dtype=torch.float64, requires_grad=True)
            self.scale = scale if kind == "attribute" else [nn.Parameter(scale.detach())]

        def forward(self, t, y):
            scale = self.scale if kind == "attribute" else self.scale[0]
            return torch.tanh(self.net(y)) * scale

    f = Scaled()
    held = f.scale if kind == "attribute" else f.scale[0]
    captured = trained(f, rtol=1e-8, atol=1e-8)
    assert held.grad is None
    report = captured.check()
    name = "scale" if kind == "attribute" else "scale[0]"
    found = [f for f in report.findings if f.code == "ND212" and f.method == "captured"]
    assert [f.evidence["tensors"] for f in found] == [[name]]
    assert "ND409" not in {f.code for f in report.findings}
    # Through the graph it gets one.
    f2 = copy.deepcopy(f)
    held2 = f2.scale if kind == "attribute" else f2.scale[0]
    odeint(f2, ONES, T, rtol=1e-8, atol=1e-8)[-1].square().sum().backward()
    torch.testing.assert_close(
        gradient(captured.problem, "aca", rtol=1e-8, atol=1e-8).gradient.params[name],
        held2.grad, rtol=1e-6, atol=1e-9,
    )  # fmt: skip
    # Told of it, the adjoint has it too.
    told_of = trained(f, adjoint_params=(*f.parameters(), held), rtol=1e-8, atol=1e-8)
    assert "ND212" not in {f.code for f in told_of.check().findings}


class Lotka(nn.Module):
    """Reads a tensor that is none of its attributes."""

    def __init__(self, outside):
        super().__init__()
        self.own = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.read = lambda: outside

    def forward(self, t, y):
        a = self.read()
        return torch.stack([a[0] * y[0] - self.own * y[0] * y[1], y[0] * y[1] - a[1] * y[1]])


@pytest.mark.parametrize("told_of", [False, True])
def test_a_module_that_reads_a_tensor_of_its_surroundings(told_of):
    a = torch.tensor([1.5, 3.0], dtype=torch.float64, requires_grad=True)
    f = Lotka(a)
    captured = trained(f, adjoint_params=(a, f.own) if told_of else None, rtol=1e-8, atol=1e-8)
    assert (a.grad is None) is not told_of
    left = [f for f in captured.check().findings if f.code == "ND212" and f.method == "captured"]
    assert len(left) == (not told_of)
    if told_of:
        own = told(captured)
        for name, tensor in captured.problem.params.items():
            given = a.grad if tensor.numel() == 2 else f.own.grad
            torch.testing.assert_close(own[name], given, rtol=1e-6, atol=1e-9)
    else:
        (finding,) = left
        (name,) = finding.evidence["tensors"]
        torch.testing.assert_close(captured.problem.params[name].detach(), a.detach())


OUTSIDE = torch.tensor([0.5, 0.25], dtype=torch.float64, requires_grad=True)


def test_a_tensor_of_the_surroundings_is_called_by_its_name():
    class Reads(nn.Module):
        def forward(self, t, y):
            return torch.tanh(y) * OUTSIDE

    captured = trained(Reads(), adjoint_params=(OUTSIDE,))
    assert list(captured.problem.params) == ["OUTSIDE"]
    OUTSIDE.grad = None


def test_layers_in_a_plain_list_are_named():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 3, dtype=torch.float64)]
            self.out = nn.Linear(3, 2, dtype=torch.float64)

        def forward(self, t, y):
            return self.out(torch.tanh(self.layers[0](y)))

    captured = trained(Listed())
    (left,) = [f for f in captured.check().findings if f.code == "ND212" and f.method == "captured"]
    assert sorted(left.evidence["tensors"]) == ["layers.0.bias", "layers.0.weight"]
    assert "nn.ModuleList" in left.advice


@pytest.mark.parametrize("is_module", [True, False])
@pytest.mark.parametrize("kind", ["in place", "anew"])
def test_the_state_that_f_asks_for_a_gradient_is_no_parameter(kind, is_module):
    """Nor is a copy of it that f makes at each call."""

    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Linear(2, 2, dtype=torch.float64)

        def forward(self, t, y):
            with torch.enable_grad():
                y = y.requires_grad_(True) if kind == "in place" else y.detach().requires_grad_()
                energy = torch.tanh(self.net(y)).square().sum()
                return torch.autograd.grad(energy, y, create_graph=True)[0]

    f = Energy()
    params = tuple(f.parameters())
    func, options = (f, {}) if is_module else (f.forward, {"adjoint_params": params})
    captured = trained(func, **options)
    assert sorted(captured.problem.params) == ["net.bias", "net.weight"]
    assert not any("tensor_" in f.message for f in captured.check().findings)


def test_a_parameter_that_is_told_and_not_read_has_its_name():
    m = nn.ModuleDict({"used": Held().net, "idle": Held().net})
    captured = trained(lambda t, y: m["used"](y), adjoint_params=tuple(m.parameters()))
    assert sorted(captured.problem.params) == [
        "m.idle.bias", "m.idle.weight", "m.used.bias", "m.used.weight",
    ]  # fmt: skip


class Keeping(Held):
    """It computes its weight once, and uses it plainly as well if it is asked to."""

    def __init__(self, *, partly=False):
        super().__init__()
        self.partly, self.context, self.kept = partly, 1.0, None

    def forward(self, t, y):
        if self.kept is None:
            self.kept = self.net.weight - self.net.weight.T
        value = y @ self.kept + self.net.bias
        return value * self.context + (self.net.weight.sum() if self.partly else 0.0)


@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
def test_a_weight_kept_without_a_graph_is_a_wrong_call(partly, solve):
    """In the adjoint's own forward pass, or in an evaluation before training."""
    f = Keeping(partly=partly)
    with capture() as captured:
        with torch.no_grad() if solve is odeint else nullcontext():
            solve(f, ONES, T)
        f.context = 2.0
        solve(f, ONES, T)[-1].square().sum().backward()
    assert (f.net.weight.grad is not None) == partly or not f.net.weight.grad.any()
    problem = captured.problem
    assert problem.call.kept == ["net.weight"]
    assert problem.func.context == 2.0  # that of the call, not of the first one
    with pytest.raises(ProblemError, match=r"f keeps what it computed from net\.weight"):
        gradient(problem, problem.call.checked_by, **problem.settings)
    report = captured.check()
    assert {"ND214", "ND414"} <= {finding.code for finding in report.findings}
    assert report.summary.exit_code == 2


def test_a_function_around_a_module_that_keeps_its_weight():
    f = Keeping()
    captured = trained(lambda t, y: f(t, y), adjoint_params=tuple(f.parameters()))
    assert captured.problem.kept == ["f.net.weight"]


def test_a_weight_kept_with_a_graph_is_right_the_first_time():
    f = Keeping()
    captured = trained(f, solve=odeint)
    assert captured.problem.call.kept == []


def test_a_weight_prepared_before_every_call_is_right():
    """Though an f that is evaluated without falls back to one of its own."""
    f = Keeping()
    with capture() as captured:
        with torch.no_grad():
            odeint_adjoint(f, ONES, T)
        f.kept = f.net.weight - f.net.weight.T
        params = (f.kept, f.net.bias)
        odeint_adjoint(f, ONES, T, adjoint_params=params)[-1].square().sum().backward()
    assert captured.problem.call.kept == []
    found = told(captured)
    assert torch.equal(found["net.bias"], f.net.bias.grad)


def test_a_weight_kept_over_a_training_step_is_that_of_another_f():
    """It has a graph, so torch does not complain, and the loss is that of the first weights."""
    f = Keeping()
    optimiser = torch.optim.SGD(f.parameters(), 0.1)
    with capture(3) as captured:
        for _ in range(3):
            optimiser.zero_grad()
            odeint(f, ONES, T)[-1].square().sum().backward()
            optimiser.step()
    assert captured.problem.kept == ["net.weight"]


@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
def test_a_weight_that_does_nothing_at_the_first_state(solve):
    f = Keeping()
    with capture() as captured:
        with torch.no_grad():
            solve(f, 0 * ONES, T)
        solve(f, 0 * ONES, T)[-1].square().sum().backward()
    assert captured.problem.kept == ["net.weight"]


class Drawing(Held):
    """It draws noise from a generator of its own, once for every solve."""

    def __init__(self):
        super().__init__()
        self.generator, self.noise = np.random.default_rng(0), None

    def forward(self, t, y):
        if self.noise is None:
            self.noise = torch.from_numpy(self.generator.normal(size=2))
        return super().forward(t, y) + self.noise


def _losses(watched):
    f, found = Drawing(), []
    with capture() if watched else nullcontext():
        for _ in range(3):
            f.noise = None
            loss = odeint_adjoint(f, ONES, T)[-1].square().sum()
            loss.backward()
            found.append(float(loss.detach()))
    return found


def test_generators_of_f_go_on_as_without_capture():
    assert _losses(watched=True) == _losses(watched=False)

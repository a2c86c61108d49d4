"""Calls whose gradient is not that of f as it was called: it changed since, or counts twice."""

import inspect
import random
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchdiffeq
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint
from torchdiffeq import odeint, odeint_adjoint

from node_diag import Monitor, capture
from node_diag.capturing.later import unreached
from node_diag.capturing.script import run_script
from node_diag.errors import ProblemError
from tests.stub_calls import CODE, ONES, Held, T, encoder, told, trained

ROWS = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(4, 2)


def normed():
    """An f with a norm over the batch."""

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Held().net
            self.norm = nn.BatchNorm1d(2, dtype=torch.float64)

        def forward(self, t, y):
            return self.norm(torch.tanh(self.net(y)))

    return Normed()


def another_context(f):
    f.shift = f.shift + 1.0


def in_place(f):
    f.shift.add_(1.0)


def replaced_data(f):
    f.net.weight.data = f.net.weight.data * 2


CHANGES = [
    (Held, ONES, another_context, "shift is another"),
    (Held, ONES, in_place, "shift is another"),
    (Held, ONES, replaced_data, "gives another value than it did"),
    (normed, ROWS, nn.Module.eval, "it was put into evaluation mode"),
]


def between(make, y0, change, solve):
    """A call, a change of f, and only then the backward pass."""
    f = make()
    with capture() as captured:
        zs = solve(f, y0, T)
        change(f)
        zs[-1].square().sum().backward()
    return f, captured


@pytest.mark.parametrize(("make", "y0", "change", "words"), CHANGES)
def test_an_adjoint_whose_f_changed_before_its_backward_pass_is_wrong(make, y0, change, words):
    """It evaluates f again there, as it is then; its gradient is another indeed."""
    f, captured = between(make, y0, change, odeint_adjoint)
    with pytest.raises(ProblemError, match=f"wrong: f was changed between .*{words}"):
        told(captured)
    assert not torch.allclose(f.net.bias.grad, unchanged(make, y0), rtol=1e-3)


@pytest.mark.parametrize(("make", "y0", "change", "words"), [CHANGES[0], CHANGES[1], CHANGES[3]])
def test_a_graph_gives_the_gradient_of_f_as_it_was(make, y0, change, words):
    f, captured = between(make, y0, change, odeint)
    assert torch.equal(told(captured)["net.bias"], f.net.bias.grad)
    # The adjoint's second solve, at tolerances of 1e-7.
    assert torch.allclose(f.net.bias.grad, unchanged(make, y0), rtol=1e-4)


def unchanged(make, y0):
    """dL/d bias by the adjoint of an f that is left alone."""
    f = make()
    odeint_adjoint(f, y0, T)[-1].square().sum().backward()
    return f.net.bias.grad


def test_a_function_that_changed_cannot_be_checked_but_the_last_call_can():
    """No copy of a function can be made."""
    net, scale = Held().net, [1.0]
    with capture() as captured, capture(call=2) as last:
        total = 0.0
        for value in (1.0, 2.0):
            scale[0] = value
            total += odeint(lambda t, y: scale[0] * net(y), ONES, T)[-1].sum()
        total.backward()
    with pytest.raises(ProblemError, match=r"f was changed between .*; --call 2 checks the last"):
        assert captured.problem
    assert last.problem.call.number == 2


def test_two_calls_of_one_f_with_a_context_each():
    f = Held()
    with capture() as captured:
        total = 0.0
        for shift in (0.0, 1.0):
            f.shift = torch.full((2,), shift).double()
            total += odeint_adjoint(f, ONES, T)[-1].sum()
        total.backward()
    assert captured.problem.call.number == 1
    with pytest.raises(ProblemError, match="f was changed between the call and its backward pass"):
        told(captured)


@pytest.mark.parametrize(
    "layer", ["spectral_norm", "weight_norm", "BatchNorm1d", "Dropout", "counting"]
)
def test_what_f_changes_by_itself_is_no_change(layer):
    class Layered(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.nfe = Held().net, 0
            self.layer = nn.Identity()
            if layer.endswith("norm"):
                getattr(parametrizations, layer)(self.net)
            elif layer != "counting":
                number = 2 if layer == "BatchNorm1d" else 0.5
                self.layer = getattr(nn, layer)(number).double()

        def forward(self, t, y):
            self.nfe += 1
            return self.layer(torch.tanh(self.net(y)))

    captured = trained(Layered(), solve=odeint, method="rk4") if layer == "Dropout" else None
    if captured is None:
        f = Layered()
        with capture() as captured:
            odeint_adjoint(f, ROWS, T)[-1].square().sum().backward()
    assert not captured.problem.call.changed


@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
@pytest.mark.parametrize("kind", ["other arguments", "another value", "scripted", "swapped"])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_an_f_with_hooks_of_its_own_is_the_same(kind, solve):
    f = Held()
    if kind == "other arguments":
        f.register_forward_pre_hook(lambda _, given: (given[0], given[1] * 2))
    elif kind == "another value":
        f.register_forward_hook(lambda _, _given, value: value * 2)
    elif kind == "scripted":
        f = torch.jit.script(f)
    hooks = len(f._forward_pre_hooks), len(f._forward_hooks)
    with capture() as captured:
        zs = solve(f, ONES, T)
        if kind == "swapped":  # for an average of weights, to evaluate, and back
            was = f.net.weight.data
            f.net.weight.data = was * 0.9
            f.net.weight.data = was
        zs[-1].square().sum().backward()
    assert not captured.problem.call.changed
    assert (len(f._forward_pre_hooks), len(f._forward_hooks)) == hooks
    # Parameters in another order are added up in another order, in the norm of the reverse state.
    assert torch.allclose(told(captured)["net.bias"], f.net.bias.grad, rtol=1e-12)


def test_a_weight_that_is_cached_without_a_graph_gets_no_gradient():
    f = Held()
    parametrizations.orthogonal(f.net)
    with parametrize.cached():
        captured = trained(f)
    weight = f.net.parametrizations.weight.original
    assert not weight.grad.any()
    with pytest.raises(ProblemError, match=r"computed from net\.parametrizations\.weight\.orig"):
        told(captured)


def test_layers_that_are_left_out_at_random_are_no_weights_that_are_cached():
    class Stochastic(Held):
        def forward(self, t, y):
            value = super().forward(t, y)
            return value if torch.rand(()) < 0.5 else value.detach() * self.net.bias

    torch.manual_seed(0)
    f = Stochastic()
    calls = [trained(f, method="rk4").problem.call for _ in range(8)]
    assert {call.reached[2]["net.weight"] for call in calls} == {True, False}
    assert not any(unreached(call) or call.changed for call in calls)


@pytest.mark.parametrize("of", ["parameters", "context"])
def test_a_tensor_that_is_named_twice_counts_twice(of):
    f, enc = Held(), encoder(2)
    f.scale = enc(CODE)
    params = {
        "parameters": [*f.parameters(), *f.parameters()],
        "context": [*f.parameters(), f.scale, f.scale],
    }[of]
    captured = trained(f, adjoint_params=params)
    with pytest.raises(ProblemError, match=r"name (net\.weight|scale) 2 times"):
        told(captured)
    twice = (enc if of == "context" else f.net).bias.grad.clone()
    f.zero_grad()
    enc.zero_grad()
    f.scale = enc(CODE)
    trained(f, adjoint_params=(*f.parameters(), f.scale))
    once = (enc if of == "context" else f.net).bias.grad
    # The same solve but for its size: the reverse state is longer, at tolerances of 1e-7.
    assert torch.allclose(twice, 2 * once, rtol=1e-4)


def test_a_bare_tensor_is_a_list_of_rows():
    f = Held()
    captured = trained(f, adjoint_params=f.net.weight)
    assert not f.net.weight.grad.any()
    with pytest.raises(ProblemError, match=r"tensor of shape \(2, 2\), .* a list of its rows"):
        told(captured)


DEEP = {
    "object": (SimpleNamespace, lambda box: box.x),
    "tuple": (lambda x: (0, x), lambda box: box[1]),
    "nested": (lambda x: {"a": [x]}, lambda box: box["a"][0]),
    "closure": (lambda x: lambda: x, lambda box: box()),
}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("is_told", [False, True])
def test_a_context_deep_in_what_f_holds_is_found(kind, is_told):
    put, get = DEEP[kind]

    class Deep(Held):
        def forward(self, t, y):
            return torch.tanh(self.net(y)) + get(self.box)

    f, enc = Deep(), encoder(2)
    context = enc(CODE)
    f.box = put(x=context) if kind == "object" else put(context)
    found = told(trained(f, adjoint_params=(*f.parameters(), context) if is_told else None))
    (name,) = found.keys() - {"net.weight", "net.bias"}
    assert name.startswith("box")
    assert torch.equal(found[name], enc.bias.grad if is_told else torch.zeros(2).double())
    # Parameters in another order are added up in another order, in the norm of the reverse state.
    assert torch.allclose(found["net.bias"], f.net.bias.grad, rtol=1e-12)


@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
@pytest.mark.parametrize("start", ["backward", "grad", "checkpoint"])
def test_a_backward_pass_that_starts_at_the_result_arrives(solve, start):
    f, weights = Held(), torch.ones(3, 2, dtype=torch.float64)
    with capture() as captured:
        if start == "checkpoint":
            z0 = ONES.clone().requires_grad_()
            zs = checkpoint(lambda z0: solve(f, z0, T), z0, use_reentrant=True)
        else:
            zs = solve(f, ONES, T)
        if start == "grad":
            bias = torch.autograd.grad(zs, list(f.parameters()), weights)[1]
        else:
            zs.backward(weights)
            bias = f.net.bias.grad
    # Parameters in another order are added up in another order, in the norm of the reverse state.
    assert torch.allclose(told(captured)["net.bias"], bias, rtol=1e-12)


@pytest.mark.parametrize("draw", [random.random, lambda: np.random.rand()])
def test_the_random_numbers_of_others_go_on(draw):
    net = Held().net

    def f(t, y):
        return net(y) * (1 + draw())

    def after(watch):
        random.seed(1)
        np.random.seed(1)
        if watch == "capture":
            trained(f, solve=odeint, method="rk4")
        else:
            odeint(f, ONES, T, method="rk4")[-1].square().sum().backward()
        if watch == "monitor":
            monitor = Monitor(f, params=dict(net.named_parameters()))
            monitor.step(ONES, T, lambda zs: zs.square().sum())
        return draw()

    assert after("capture") == after("monitor") == after("nobody")


def test_an_f_that_cannot_be_asked_again_does_not_end_the_training():
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    left = [8]  # rk4 evaluates it four times a step, and there are two

    def limited(t, y):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("too many evaluations")
        return -weight * y

    captured = trained(limited, solve=odeint, method="rk4")
    assert weight.grad is not None
    with pytest.raises(ProblemError, match="f raised RuntimeError: too many evaluations"):
        assert captured.problem


def test_nothing_stays_on_an_f_whose_backward_pass_raised():
    originals = []

    class Once(Held):
        def forward(self, t, y):
            if torch.is_grad_enabled() and self in originals:  # going backward, and no copy
                raise RuntimeError("no more")
            return super().forward(t, y)

    f = Once()
    originals.append(f)
    with capture() as captured, pytest.raises(RuntimeError, match="no more"):
        odeint_adjoint(f, ONES, T)[-1].sum().backward()
    assert not f._forward_hooks
    assert not f._forward_pre_hooks
    assert captured.problem.call.reached is None


def test_the_options_of_a_watched_function_can_be_asked_for():
    plain = inspect.signature(torchdiffeq.odeint)
    with capture():
        assert inspect.signature(torchdiffeq.odeint) == plain
        assert "adjoint_params" in inspect.signature(odeint_adjoint).parameters
    assert inspect.signature(torchdiffeq.odeint) == plain
    assert not hasattr(odeint, "__signature__")


SCRIPT = """
import dataclasses, sys, threading, torch
from torchdiffeq import odeint

@dataclasses.dataclass
class Config:
    end: float = 2.0

weight = torch.ones(2, dtype=torch.float64, requires_grad=True)

def train():
    end = dataclasses.fields(Config)[0].type("1.5")
    times = torch.tensor([0.0, end], dtype=torch.float64)
    for _ in range(3):
        odeint(lambda t, y: -weight * y, torch.ones(2, dtype=torch.float64), times).sum().backward()

thread = threading.Thread(target=train)
thread.start()
thread.join()
"""


def test_a_script_is_compiled_by_itself_and_its_threads_end_quietly(tmp_path, monkeypatch):
    """`from __future__ import annotations` of ours would make the types of its fields strings."""
    loud = []
    monkeypatch.setattr(threading, "excepthook", _heard(loud))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert run_script(str(script)).t.tolist() == [0.0, 1.5]
    assert loud == []


def _heard(loud):
    """What Python does by default but for SystemExit, noted."""
    return lambda args: loud.append(args) if args.exc_type is not SystemExit else None

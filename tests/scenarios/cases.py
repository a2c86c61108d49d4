"""Problems that a finding is about, and neighbours that it is not about."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from node_diag import Problem, capture
from node_diag.loader import load


@dataclass(frozen=True)
class Scenario:
    """A problem, checked with these options."""

    problem: Callable[[], Problem]
    options: dict[str, Any] = field(default_factory=dict)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def builtin(name: str, **overrides: Any) -> Callable[[], Problem]:
    return lambda: load(name, overrides)


def plain(
    f: Callable[[Tensor, Tensor], Tensor],
    z0: Tensor,
    ts: tuple[float, ...] = (0.0, 1.0),
    loss: Callable[[Tensor], Tensor] = lambda zs: zs[-1].square().sum(),
    **more: Any,
) -> Callable[[], Problem]:
    return lambda: Problem(f, z0, ts, loss, name="scenario", **more)


def decay(rate: float = 1.0, **more: Any) -> Callable[[], Problem]:
    """z' = −rate z from (1, 2)."""
    k = tensor(rate)
    return plain(lambda t, z: -k * z, tensor(1.0, 2.0), params={"k": k}, **more)


def timed(**more: Any) -> Callable[[], Problem]:
    """z' = −z + sin 3t."""
    return plain(lambda t, z: -z + torch.sin(3 * t), tensor(1.0, 2.0), **more)


class Net(nn.Module):
    """A small MLP, with whatever a scenario puts into it."""

    def __init__(self, activation: nn.Module, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 2)
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator) * 0.6
        self.activation = activation
        self.double()

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.last(self.activation(self.first(z)))


def net(activation: nn.Module | None = None, **more: Any) -> Callable[[], Problem]:
    def make() -> Problem:
        f = Net(activation or nn.Tanh())
        for name, value in more.items():
            setattr(f, name, value)
        z0 = tensor(0.5, -1.0, 1.5, 0.3).reshape(2, 2)
        return Problem(f, z0, (0.0, 0.5, 1.0), lambda zs: zs.square().mean(), name="net")

    return make


class Forgetful(Net):
    """It never uses its second layer's bias, and holds a scale in a list."""

    def __init__(self, *, registered: bool, used: bool) -> None:
        super().__init__(nn.Tanh())
        scale = torch.ones(1, dtype=torch.float64, requires_grad=True)
        self.scales = nn.ParameterList([nn.Parameter(scale.detach())]) if registered else [scale]
        self.used = used

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        hidden = self.activation(self.first(z))
        value = self.last(hidden) if self.used else hidden @ self.last.weight.T
        return value * self.scales[0]


def forgetful(**how: bool) -> Callable[[], Problem]:
    def make() -> Problem:
        return Problem(
            Forgetful(**how), tensor(0.5, -1.0), (0.0, 1.0), lambda zs: zs.square().sum(), name="f"
        )

    return make


class Keeping(Net):
    """It keeps the weights of its last layer, scaled, or scales them anew each time."""

    def __init__(self, *, keeps: bool) -> None:
        super().__init__(nn.Tanh())
        self.keeps = keeps
        self.scaled: Tensor | None = None

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        if self.scaled is None or not self.keeps:
            self.scaled = self.last.weight / self.last.weight.norm()
        return self.activation(self.first(z)) @ self.scaled.T + self.last.bias


def keeping(*, keeps: bool) -> Callable[[], Problem]:
    def make() -> Problem:
        f = Keeping(keeps=keeps)
        return Problem(f, tensor(0.5, -1.0), (0.0, 1.0), lambda zs: zs.square().sum(), name="f")

    return make


def captured(*, doubled: bool) -> Callable[[], Problem]:
    """A call of odeint_adjoint, some of whose adjoint_params are named twice or once."""

    def make() -> Problem:
        f = Net(nn.Tanh())
        params = [*f.parameters(), *(f.last.parameters() if doubled else ())]
        with capture() as call:
            times = tensor(0.0, 0.5, 1.0)
            odeint_adjoint(f, tensor(0.5, -1.0), times, adjoint_params=params).sum().backward()
        return call.problem

    return make


class WrongBackward(torch.autograd.Function):
    """sin with a backward that is 10 % off, or right but once differentiable only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 1.1 * torch.cos(x) * cotangents[0]


class DetachedBackward(torch.autograd.Function):
    """Sin whose backward cannot be differentiated again, and does not say so."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return (torch.cos(x)).detach() * cotangents[0]


def lorenz(t1: float) -> Callable[[], Problem]:
    """From a point close to the attractor, so that the state itself does not grow."""
    linear = tensor(-10.0, 10.0, 0.0, 28.0, -1.0, 0.0, 0.0, 0.0, -8 / 3).reshape(3, 3)
    turn = tensor(0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0).reshape(3, 3)

    def f(t: Tensor, z: Tensor) -> Tensor:
        return linear @ z + z[0] * (turn @ z)

    return plain(f, tensor(-5.0, -5.0, 23.0), (0.0, t1), lambda zs: zs[-1].sum())


def unlike_rows(fast: float) -> Callable[[], Problem]:
    """Four oscillators, one of them ``fast`` times as fast."""
    speed = tensor(1.0, 1.0, 1.0, fast).reshape(4, 1)

    def f(t: Tensor, z: Tensor) -> Tensor:
        return speed * torch.stack([z[:, 1], -z[:, 0]], dim=1)

    z0 = tensor(1.0, 0.0).repeat(4, 1)
    return plain(f, z0, (0.0, 3.0), lambda zs: zs.square().mean() + zs[-1, :, 0].sum())


def ripple() -> Problem:
    """A decay, and an oscillation that the tolerance and the loss hardly see.

    With w in thousands dL/dw is a few hundred-thousandths of the whole, and not less than any tolerance.
    """
    k, w = tensor(1.0), tensor(8e-3)

    def f(t: Tensor, z: Tensor) -> Tensor:
        return torch.stack([-k * z[:1], 1e3 * w * z[2:], -1e3 * w * z[1:2]]).reshape(3)

    z0 = tensor(1.0, 1e-5, 0.0)
    loss = lambda zs: zs[-1, 0] + 2e-4 * zs[-1, 1]  # noqa: E731
    return plain(f, z0, (0.0, 3.0), loss, params={"k": k, "w": w})()


def wide_net(units: int = 64) -> Callable[[], Problem]:
    """ReLU, so kinks; rows of a batch."""
    return net(nn.ReLU())


ACA = {"methods": ["aca"], "repeat": 1}
ROUGH = {**ACA, "rtol": 1e-3}
ADJOINT = {"methods": ["adjoint", "aca"], "repeat": 1}
NAIVE = {"methods": ["naive", "aca"], "repeat": 1}
SWITCH = tensor(0.5)

SQRT = plain(lambda t, z: -torch.sqrt(z.abs()) * torch.tensor([1.0, 0.0]), tensor(1.0, 0.0))
"""Its second entry is 0 · √|0|, whose derivative is 0 · ∞."""

PAIRS: dict[str, tuple[Scenario, Scenario]] = {
    "ND101": (
        Scenario(builtin("vanderpol"), ADJOINT),
        Scenario(builtin("vanderpol", mu=1, T=5), ADJOINT),
    ),
    "ND102": (
        Scenario(builtin("vanderpol", mu=5), ADJOINT),
        Scenario(builtin("vanderpol"), ADJOINT),
    ),
    "ND103": (
        Scenario(builtin("equilibrium"), {**ADJOINT, "control": "sensitivities"}),
        Scenario(
            builtin("equilibrium"),
            {**ADJOINT, "control": "sensitivities", "adjoint_rtol": 1e-9, "adjoint_atol": 1e-9},
        ),
    ),
    "ND104": (
        # z' = −z, L = Σ z(T): a does not depend on z̄, which is lost within e⁻⁴⁰.
        Scenario(plain(lambda t, z: -z, tensor(1.0, 2.0), (0.0, 40.0), lambda zs: zs[-1].sum()), {**ADJOINT, "rtol": 1e-6, "adjoint_rtol": 1e-9, "adjoint_atol": 1e-30}),
        Scenario(decay(), ADJOINT),
    ),
    "ND201": (
        Scenario(builtin("lotkavolterra"), {"methods": ["{wrong}", "aca"], "repeat": 1}),
        Scenario(builtin("lotkavolterra"), {"methods": ["direct", "aca"], "repeat": 1}),
    ),
    "ND202": (
        Scenario(builtin("vanderpol", mu=1, T=10), {**NAIVE, "rtol": 1e-3}),
        Scenario(builtin("linear"), NAIVE),
    ),
    "ND203": (
        Scenario(builtin("equilibrium"), ACA),
        Scenario(builtin("equilibrium"), {**ACA, "control": "sensitivities"}),
    ),
    "ND204": (
        Scenario(builtin("vanderpol", mu=1, T=10), {**ACA, "rtol": 1e-3}),
        Scenario(builtin("vanderpol", mu=1, T=10), {**ACA, "rtol": 1e-7}),
    ),
    "ND205": (
        Scenario(plain(lambda t, z: WrongBackward.apply(z), tensor(0.5, 1.0)), ACA),
        Scenario(plain(lambda t, z: torch.sin(z), tensor(0.5, 1.0)), ACA),
    ),
    "ND206": (
        Scenario(builtin("vanderpol", mu=1, T=10), {**ACA, "dtype": "float32", "rtol": 1e-6}),
        Scenario(builtin("vanderpol", mu=1, T=10), {**ACA, "rtol": 1e-6}),
    ),
    "ND207": (
        Scenario(plain(lambda t, z: -z + math.sin(float(t.detach())), tensor(1.0, 2.0)), ACA),
        Scenario(timed(), ACA),
    ),
    "ND208": (
        Scenario(plain(lambda t, z: DetachedBackward.apply(z), tensor(0.5, 1.0)), {**ACA, "methods": ["direct"], "order": 2}),
        Scenario(plain(lambda t, z: torch.sin(z), tensor(0.5, 1.0)), {**ACA, "methods": ["direct"], "order": 2}),
    ),
    "ND209": (Scenario(SQRT, ACA), Scenario(decay(), ACA)),
    "ND210": (
        Scenario(builtin("vanderpol"), ADJOINT),
        Scenario(builtin("vanderpol", mu=1, T=5), ADJOINT),
    ),
    "ND211": (
        Scenario(ripple, ACA),
        Scenario(ripple, {**ACA, "rtol": 1e-10}),
    ),
    "ND212": (
        Scenario(decay(), {**ACA, "methods": ["{wrong}:without_k"]}),
        Scenario(decay(), {**ACA, "methods": ["{wrong}:with_k"]}),
    ),
    "ND213": (
        Scenario(decay(), {**ACA, "methods": ["{wrong}:other_loss"]}),
        Scenario(decay(), {**ACA, "methods": ["{wrong}:with_k"]}),
    ),
    "ND214": (
        Scenario(captured(doubled=True), {**ACA, "methods": ["captured", "aca"]}),
        Scenario(captured(doubled=False), {**ACA, "methods": ["captured", "aca"]}),
    ),
    "ND301": (
        Scenario(SQRT, ACA),
        Scenario(decay(), {**ACA, "reference": "fd"}),  # asked for
    ),
    "ND302": (
        Scenario(decay(exact=lambda ts, z0, p: z0 * torch.exp(-2 * p["k"] * (ts[1:] - ts[0]))[:, None]), ACA),
        Scenario(decay(exact=lambda ts, z0, p: z0 * torch.exp(-p["k"] * (ts[1:] - ts[0]))[:, None]), ACA),
    ),
    "ND303": (
        Scenario(lorenz(38.0), {**ROUGH, "max_grad_error": ["1e-3"]}),
        Scenario(lorenz(2.0), ROUGH),
    ),
    "ND304": (
        Scenario(decay(), {**ACA, "gates": ["aca.grad_error_discrete<=1e-16"]}),
        Scenario(decay(), {**ACA, "max_grad_error": ["1e-2"]}),
    ),
    "ND305": (
        Scenario(decay(), {**ACA, "max_grad_error": ["1"]}),
        Scenario(decay(), {**ACA, "max_grad_error": ["1e-2"]}),
    ),
    "ND401": (
        Scenario(net(nn.Dropout(0.1)), {**ACA, "solver": "rk4"}),
        Scenario(net(), ACA),
    ),
    "ND402": (
        Scenario(lambda: batch_norm(True), ACA),
        Scenario(lambda: batch_norm(False), ACA),
    ),
    "ND403": (Scenario(net(nn.ReLU()), ACA), Scenario(net(nn.Tanh()), ACA)),
    "ND404": (
        Scenario(plain(lambda t, z: -z + torch.where(t > 0.5, 1.0, 0.0), tensor(1.0, 2.0)), ACA),
        Scenario(timed(), ACA),
    ),
    "ND405": (
        Scenario(plain(lambda t, z: -500.0 * (z - torch.cos(t)), tensor(1.0, 2.0)), ACA),
        Scenario(timed(), ACA),
    ),
    "ND406": (Scenario(lorenz(14.0), ROUGH), Scenario(lorenz(2.0), ROUGH)),
    "ND407": (
        Scenario(plain(lambda t, z: -z, tensor(1.0, 2.0), (0.0, 30.0)), ACA),
        Scenario(decay(), ACA),
    ),
    "ND408": (Scenario(unlike_rows(30.0), ACA), Scenario(unlike_rows(1.0), ACA)),
    "ND409": (
        Scenario(forgetful(registered=False, used=False), ACA),
        Scenario(forgetful(registered=True, used=True), ACA),
    ),
    "ND410": (
        Scenario(decay(autonomous=False), ACA),
        Scenario(timed(autonomous=False), ACA),
    ),
    "ND411": (
        Scenario(decay(ts=(0.0, 0.5, 1.0), loss=lambda zs: zs[-1].square().sum()), ACA),
        Scenario(decay(ts=(0.0, 0.5, 1.0), loss=lambda zs: zs.square().sum()), ACA),
    ),
    "ND413": (
        Scenario(plain(lambda t, z: z.mul_(-1), tensor(1.0, 2.0)), ACA),
        Scenario(plain(lambda t, z: z.clone().mul_(-1), tensor(1.0, 2.0)), ACA),
    ),
    "ND414": (
        Scenario(keeping(keeps=True), ACA),
        Scenario(keeping(keeps=False), ACA),
    ),
    "ND412": (
        Scenario(plain(lambda t, z: torch.relu(z) - 0.2 * z, tensor(0.0, 1.0)), ACA),
        Scenario(plain(lambda t, z: torch.relu(z) - 0.2 * z, tensor(-0.5, 1.0)), ACA),
    ),
}  # fmt: skip


def batch_norm(training: bool) -> Problem:
    torch.manual_seed(0)
    f = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).double()
    f.train(training)

    class Timeless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = f

        def forward(self, t: Tensor, z: Tensor) -> Tensor:
            return self.f(z)

    module = Timeless()
    module.train(training)
    z0 = tensor(*range(8)).reshape(4, 2) / 4
    return Problem(module, z0, (0.0, 1.0), lambda zs: zs.square().mean(), name="norm")

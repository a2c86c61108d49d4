"""What reaches the loss, and what is said of the rest."""

import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.field import Field, validate
from node_diag.inspection import dependence
from node_diag.registry import SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings


def inspect(func, **params):
    z0 = torch.tensor([0.3, -0.4], dtype=torch.float64)
    problem = Problem(func, z0, (0.0, 1.0), lambda zs: zs.square().sum(), params=params or None)
    validate(problem)
    settings = Settings(SOLVERS.load("dopri5"))
    return dependence.inspect(problem, integrate(Field(problem), z0, problem.ts, settings))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()


class Divergence(nn.Module):
    """It differentiates in the state it is given, as FFJORD does."""

    def __init__(self, prepare):
        super().__init__()
        self.net, self.prepare = net(), prepare

    def forward(self, t, z):
        with torch.enable_grad():
            z = self.prepare(z)
            value = self.net(z)
            (slope,) = torch.autograd.grad(value.sum(), z, create_graph=True)
        return value - slope


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, t, z):
        return self.net(z)


def test_a_vector_that_is_only_compared_is_used():
    tau, k = torch.linspace(0.1, 0.9, 20, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    found = inspect(lambda t, z: -k * z + (t > tau).sum(), tau=tau, k=k)
    assert (found.unreached, found.without_gradient) == (["tau"], ["tau"])


def test_what_is_not_used_is_told_from_that():
    spare, k = (torch.ones(n, dtype=torch.float64) for n in (3, 1))
    found = inspect(lambda t, z: -k * z, spare=spare, k=k)
    assert (found.unreached, found.without_gradient) == (["spare"], [])


def test_the_state_is_no_tensor_that_f_holds():
    for prepare in (
        lambda z: z if z.requires_grad else z.requires_grad_(),
        lambda z: z.view(2) if z.requires_grad else z.view(2).requires_grad_(),
        lambda z: z.clone().requires_grad_(),
    ):
        assert inspect(Divergence(prepare)).unregistered == []


def test_nor_in_a_plain_function():
    def func(t, z):
        with torch.enable_grad():
            z = z if z.requires_grad else z.requires_grad_()
            return -torch.autograd.grad((k * z**2).sum(), z, create_graph=True)[0]

    k = torch.ones(1, dtype=torch.float64)
    found = inspect(func, k=k)
    assert (found.unregistered, found.unreached) == ([], [])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_scripted_parameters_are_the_modules_own():
    module = torch.jit.script(Plain())
    for func in (module, copied(module)):
        found = inspect(func)
        assert (found.unregistered, found.unreached) == ([], [])


def copied(module):
    z0 = torch.ones(2, dtype=torch.float64)
    problem = Problem(module, z0, (0.0, 1.0), lambda zs: zs.sum())
    return problem.to(torch.float64, torch.device("cpu"), copy=True).func


@pytest.mark.parametrize("hold", [lambda x: [x], lambda x: {0: x}], ids=["list", "dict"])
def test_what_holds_it_is_named(hold):
    module = Plain()
    module.scales = hold(torch.ones(1, dtype=torch.float64, requires_grad=True))
    module.forward = lambda t, z: module.net(z) * module.scales[0]
    assert inspect(module).unregistered == ["scales[0] (shape (1,))"]


def test_layers_in_a_list_are_named():
    module = Plain()
    module.layers = [nn.Linear(2, 2).double()]
    module.forward = lambda t, z: module.net(module.layers[0](z))
    names = ["layers[0].weight (shape (2, 2))", "layers[0].bias (shape (2,))"]
    assert sorted(inspect(module).unregistered) == sorted(names)


def test_changes_behind_the_version_counter_are_seen():
    def func(t, z):
        z.data.mul_(-1)
        return z

    problem = Problem(func, torch.ones(2, dtype=torch.float64), (0.0, 1.0), lambda zs: zs.sum())
    validate(problem)
    assert problem.mutated == ["state"]

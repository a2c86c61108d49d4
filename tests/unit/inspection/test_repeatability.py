"""Dynamics that answer differently each time, or change when they are evaluated."""

import pytest
import torch
from torch import nn

from node_diag import Problem
from node_diag.inspection import repeatability


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 4), layer, nn.Linear(4, 2)).double()

    def forward(self, t, z):
        return self.net(z)


class Counter(nn.Module):
    def __init__(self, reads):
        super().__init__()
        self.calls, self.reads = 0, reads

    def forward(self, t, z):
        self.calls += 1
        return -z * (1 + 0.01 * self.calls) if self.reads else -z


def inspect(func):
    z0 = torch.randn(5, 2, dtype=torch.float64)
    return repeatability.inspect(Problem(func, z0, (0.0, 1.0), lambda zs: zs.sum()))


def test_plain_layers_are_repeatable():
    found = inspect(Net(nn.Tanh()))
    assert found.spread == 0
    assert not found.uses_random_numbers
    assert not found.changed
    assert not found.suspects


def test_dropout_is_named():
    found = inspect(Net(nn.Dropout(0.5)))
    assert found.spread > 0
    assert found.uses_random_numbers
    assert found.suspects == ["net.1 (Dropout)"]


class Rarely(nn.Module):
    """Zero once in twenty evaluations."""

    def forward(self, t, z):
        return -z * (torch.rand(()) > 0.05)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_random_now_and_then_is_seen(seed):
    """Three evaluations are alike in 86 of 100 cases, 300 in two of ten million."""
    torch.manual_seed(seed)
    found = inspect(Rarely())
    assert found.uses_random_numbers
    assert found.spread > 0


def test_a_loss_that_is_random_now_and_then_is_seen():
    torch.manual_seed(0)
    z0 = torch.ones(2, dtype=torch.float64)
    problem = Problem(
        lambda t, z: -z, z0, (0.0, 1.0), lambda zs: zs.sum() * (torch.rand(()) > 0.05)
    )
    found = repeatability.inspect(problem)
    assert found.spread == 0.0
    assert found.loss_spread == 1.0


def test_random_numbers_that_decide_nothing_are_repeatable():
    found = inspect(lambda t, z: -z + 0.0 * torch.rand(()))
    assert found.uses_random_numbers
    assert found.spread == 0.0


def test_dropout_in_evaluation_mode_is_fine():
    found = inspect(Net(nn.Dropout(0.5)).eval())
    assert found.spread == 0
    assert not found.suspects


def test_batch_normalisation_changes_its_buffers_and_not_its_value():
    found = inspect(Net(nn.BatchNorm1d(4)))
    assert found.spread == 0
    assert "net.1.running_mean" in found.changed
    assert found.suspects == ["net.1 (BatchNorm1d)"]


@pytest.mark.parametrize("reads", [True, False])
def test_counters_matter_if_they_are_read(reads):
    found = inspect(Counter(reads))
    assert (found.spread > 0) == reads
    assert found.changed == ["calls"]


def test_a_constant_of_few_digits_is_no_cast():
    """A last layer that starts at zero: f is its bias, which was made in float32."""
    bias = torch.tensor([0.1, -0.2]).double()
    k = torch.zeros(2, dtype=torch.float64)
    problem = Problem(
        lambda t, z: k * z + bias, torch.tensor([1.0, 2.0], dtype=torch.float64), (0.0, 1.0),
        lambda zs: zs.square().sum(), params={"k": k},
    )  # fmt: skip
    assert not repeatability.inspect(problem).single_precision

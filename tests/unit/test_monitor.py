"""The monitor: its estimates against the whole gradient, and what it writes."""

import csv
import math

import numpy as np
import pytest
import torch
from torch import nn

from node_diag import Monitor, Problem
from node_diag.errors import ProblemError, UsageError
from node_diag.gradients.base import Setup, run
from node_diag.references.base import flatten
from node_diag.references.sensitivity import sensitivity_reference
from node_diag.references.slopes import estimate, held_against_slopes, lines_along
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.solution import Settings

TS = [0.0, 0.5, 1.0]


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2)).double()

    def forward(self, t, z):
        return self.net(z)


Z0 = torch.tensor([[1.0, 0.5], [-0.3, 0.8]], dtype=torch.float64)


def loss(zs):
    return zs.square().mean()


def _truth(func):
    problem = Problem(func, Z0, TS, loss)
    n = problem.layout.numel
    return problem, sensitivity_reference(problem).value[n : -len(TS)]


def test_as_many_directions_as_parameters_measure_the_error_itself():
    problem, truth = _truth(Net(2))
    wrong = truth + 0.3 * np.linalg.norm(truth) * np.eye(truth.size)[3]
    found = held_against_slopes(problem, wrong, truth.size, seed=0)
    # The reference is solved at 1e-7.
    assert found.error == pytest.approx(0.3, rel=1e-5)
    assert found.low == found.error == found.high
    assert found.cosine == pytest.approx(
        float(wrong @ truth / np.linalg.norm(wrong) / np.linalg.norm(truth)), abs=1e-5
    )
    assert found.norm_ratio == pytest.approx(
        np.linalg.norm(wrong) / np.linalg.norm(truth), rel=1e-5
    )


@pytest.mark.parametrize(("off", "n"), [(0.2, 50), (1.0, 50), (10.0, 50), (1e6, 50), (0.5, 9)])
def test_a_few_directions_estimate_it_within_their_interval(off, n):
    """95 % of 600 are 570 ± 5.3; 25 from there are more than four sigma."""
    rng = np.random.default_rng(0)
    truth, noise = rng.standard_normal(n), rng.standard_normal(n)
    wrong = truth + off * np.linalg.norm(truth) * noise / np.linalg.norm(noise)
    size, true = float(np.linalg.norm(wrong)), float(np.linalg.norm(truth))
    found = [estimate(size, lines_along(wrong, 8, seed) @ truth, n) for seed in range(600)]
    cosine, ratio = float(wrong @ truth) / size / true, size / true
    # Where ‖g − r‖ = ‖r‖ the error is 1 whatever is across g: an interval of rounding alone.
    held = sum(f.low - 1e-9 <= off <= f.high + 1e-9 for f in found)
    assert held == 600 if off == 1.0 else abs(held - 570) <= 25
    assert abs(sum(f.cosine_low <= cosine <= f.cosine_high for f in found) - 570) <= 25
    assert abs(sum(f.norm_ratio_low <= ratio <= f.norm_ratio_high for f in found) - 570) <= 25
    assert all(f.low - 1e-9 <= f.error <= f.high + 1e-9 for f in found)
    if off == 0.2:  # unbiased in the square: 600 of them know √(2 / 7) to a forty-fifth
        assert np.mean([f.error**2 for f in found]) == pytest.approx(0.04, rel=0.1)


def test_the_right_gradient_is_right():
    problem, _ = _truth(Net())
    settings = Settings(SOLVERS.load("dopri5"), 1e-9, 1e-9)
    own = run("aca", METHODS.load("aca"), problem, Setup(settings, settings))
    gradient = flatten(own.gradient)[problem.layout.numel : -len(TS)]
    found = held_against_slopes(problem, gradient, 8, seed=0)
    assert found.error < 1e-6  # the reference is solved at 1e-7, both errors grow less than tenfold
    assert found.cosine == pytest.approx(1.0, abs=1e-10)


def test_readings_go_to_a_file_and_a_writer(tmp_path):
    class Writer:
        def __init__(self):
            self.seen = []

        def add_scalar(self, tag, value, step):
            self.seen.append((tag, step))

    func, writer = Net(), Writer()
    log = tmp_path / "gradients.csv"
    monitor = Monitor(func, every=2, log=log, writer=writer, rtol=1e-6)
    from torchdiffeq import odeint

    for _ in range(5):
        func.zero_grad()
        loss(odeint(func, Z0, torch.tensor(TS, dtype=torch.float64), rtol=1e-6)[1:]).backward()
        monitor.step(Z0, TS, loss)
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1", "3", "5"]
    assert all(float(row["error"]) < 1e-3 for row in rows)
    assert all(float(row["reconstruction"]) < 1e-3 for row in rows)
    assert [r.step for r in monitor.readings] == [1, 3, 5]
    assert 0 < monitor.readings[-1].overhead < 1
    assert ("node_diag/cosine", 3) in writer.seen
    assert all(p.grad is not None for p in func.parameters())


def test_a_gradient_that_is_nan_or_missing():
    func = Net()
    monitor = Monitor(func, every=1, reconstruct=False)
    with pytest.raises(ProblemError, match=r"call step\(\) after loss.backward\(\)"):
        monitor.step(Z0, TS, loss)
    for p in func.parameters():
        p.grad = torch.full_like(p, math.nan)
    reading = monitor.step(Z0, TS, loss)
    assert math.isnan(reading.error)
    assert reading.failure == "the gradient is not finite"
    assert math.isnan(reading.reconstruction)
    for p in func.parameters():
        p.grad = torch.zeros_like(p)
    assert monitor.step(Z0, TS, loss).error == 1.0


class Noisy(Net):
    def forward(self, t, z):
        return nn.functional.dropout(self.net(z), 0.5)


class NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g


class Custom(Net):
    def forward(self, t, z):
        return NoForwardMode.apply(self.net(z))


class Stiff(Net):
    def forward(self, t, z):
        return 1e7 * (torch.cos(t) * self.net(z) - z)


@pytest.mark.parametrize(
    ("make", "words"),
    [(Noisy, "another value each time"), (Custom, "forward"), (Stiff, "were not enough")],
)
def test_training_goes_on_whatever_f_is_like(make, words, monkeypatch):
    monkeypatch.setattr("node_diag.references.slopes.MOST_EVALUATIONS", 50)
    func = make()
    for p in func.parameters():
        p.grad = torch.ones_like(p)
    state = torch.get_rng_state()
    reading = Monitor(func, every=1).step(Z0, TS, loss)
    assert words in reading.failure
    assert math.isnan(reading.error)
    assert torch.equal(torch.get_rng_state(), state)


class Keeping(Net):
    kept = None

    def forward(self, t, z):
        if self.kept is None:
            self.kept = self.net[2].weight.tanh()
        return self.net[1](self.net[0](z)) @ self.kept.T + self.net[2].bias


def test_what_f_keeps_of_a_forward_pass_without_a_graph():
    """Differences of the loss do not see it either, and would say that all is well."""
    func = Keeping()
    monitor = Monitor(func, every=1)
    with torch.no_grad():
        func(torch.tensor(0.0), Z0)
    loss(func(torch.tensor(0.0), Z0)).backward()
    reading = monitor.step(Z0, TS, loss)
    assert "f keeps what it computed from net.2.weight in an earlier evaluation" in reading.failure
    assert math.isnan(reading.error)
    assert func.kept is not None


def test_a_log_gets_its_header_once(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        Monitor(Net(), log=tmp_path / "nowhere" / "log.csv")
    (tmp_path / "log.csv").touch()
    func = Net()
    for p in func.parameters():
        p.grad = torch.ones_like(p)
    for _ in range(2):
        Monitor(func, reconstruct=False, log=tmp_path / "log.csv").step(Z0, TS, loss)
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert header.startswith("step,error,low,high")
    assert len(rows) == 2


def test_a_reverse_solve_that_fails_is_an_infinite_reconstruction():
    class Stiff(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(torch.tensor(60.0, dtype=torch.float64))

        def forward(self, t, z):
            return -self.k * z * (1 + z**2)

    func = Stiff()
    func.k.grad = torch.ones_like(func.k)
    z0 = torch.tensor([1.0], dtype=torch.float64)
    monitor = Monitor(func, every=1, rtol=1e-3)
    reading = monitor.step(z0, [0.0, 10.0], lambda zs: zs.sum() + func.k * 0)
    assert reading.reconstruction == math.inf


def test_settings_that_cannot_be():
    with pytest.raises(UsageError, match="every >= 1"):
        Monitor(Net(), every=0)

"""What grows with the number of steps and of parameters: differences, ACA's time and memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from node_diag import Problem
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.loader import load
from node_diag.measure.counting import count
from node_diag.references.frozen_map import FrozenMap
from node_diag.references.ladder import step
from node_diag.registry import METHODS, SOLVERS
from node_diag.solvers.integrate import integrate
from node_diag.solvers.solution import Settings
from node_diag.solvers.step_map import OwnSteps
from tests.bench.ratio import Ratio, alternate, timed

HIDDEN, SAMPLED = 200, 20
"""Units of a network of two inputs and outputs with 1,002 parameters, and how many of its 2,004
solves are made one by one, since all of them take minutes."""
STEPS = (100, 1_000, 10_000, 100_000)


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(2, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2)]
        self.net = nn.Sequential(*layers).double()

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.net(z)


def differences_one_by_one() -> Ratio:
    """Central differences in 1,002 parameters on the frozen grid: in batches over one by one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    z0 = torch.ones(2, dtype=torch.float64)
    problem = Problem(_Network(), z0, (0.0, 5.0), lambda zs: zs[-1].square().sum(), name="network")
    settings = Settings(SOLVERS.load("dopri5"), 1e-5, 1e-5)
    grid = integrate(Field(problem), z0, problem.ts, settings).grid
    steps = OwnSteps(settings.tableau, grid)
    frozen = FrozenMap(problem, steps)
    names = [name for name in frozen.parts if name.startswith("params.")]
    moved = [i for name in names for i in range(*frozen.parts[name].indices(frozen.base.size))]
    base = torch.from_numpy(frozen.base)
    rows = base.repeat(2 * len(moved), 1)
    for row, (i, sign) in zip(rows, ((i, s) for i in moved for s in (1, -1)), strict=True):
        row[i] += sign * step(0)
    some = rows[:: len(rows) // SAMPLED][:SAMPLED]
    times = base[frozen.parts["ts"]]

    def one_by_one() -> list[Tensor]:
        losses: list[Tensor] = []
        with torch.no_grad():
            for row in some:
                own = {
                    name.removeprefix("params."): row[frozen.parts[name]].reshape(
                        problem.params[name.removeprefix("params.")].shape
                    )
                    for name in names
                }
                zs = steps(Field(problem).with_params(own), z0, times)
                losses.append(problem.loss_of(zs))
        return losses

    together = frozen.losses(rows, names, len(rows))
    alone = np.array([float(loss) for loss in one_by_one()])
    # Some hundred evaluations of f, each with roundings of 2e-16 in another order.
    assert np.allclose(together[:: len(rows) // SAMPLED][:SAMPLED], alone, rtol=1e-12, atol=0)
    return alternate(
        lambda: frozen.losses(rows, names, len(rows)),
        one_by_one,
        pairs=9,
        scale=(len(rows), SAMPLED),
    )


def _growing(n: int) -> Setup:
    settings = Settings(SOLVERS.load("euler"), step_size=2.0 / n, max_steps=2 * n)
    return Setup(settings, settings)


def with_steps() -> tuple[list[tuple[int, float, int]], tuple[float, float]]:
    """ACA's seconds and saved bytes at each number of steps, and the exponents fitted to both."""
    torch.set_num_threads(1)
    problem, aca = load("linear"), METHODS.load("aca")
    run("aca", aca, problem, _growing(100))
    found: list[tuple[int, float, int]] = []
    for n in STEPS:
        seconds = min(
            timed(lambda n=n: run("aca", aca, problem, _growing(n)))
            for _ in range(5 if n <= 10_000 else 2)
        )
        _, counts = count("aca", aca, problem, _growing(n), peak=False)
        found.append((n, seconds, counts.saved_bytes))
    logs = np.log([n for n, _, _ in found])
    time, memory = (np.log([row[i] for row in found]) for i in (1, 2))
    return found, (float(np.polyfit(logs, time, 1)[0]), float(np.polyfit(logs, memory, 1)[0]))

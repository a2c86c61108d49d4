"""A Neural ODE trained on irregularly sampled trajectories of a pendulum, with each method.

10, 20 and 50 % of the points are seen, other trajectories are predicted: the sources' table of test
errors at a size that two cores train in minutes.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.outputs.figures.canvas import Handle, blank, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import NOTHING, count, scientific
from node_diag.outputs.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from node_diag import Problem

METHODS = ("adjoint", "naive", "aca")
SEEDS = (0, 1)
PERCENT = (10, 20, 50)
THEIRS = {
    ("adjoint", 10): 0.47, ("naive", 10): 0.36, ("aca", 10): 0.31,
    ("adjoint", 20): 0.44, ("naive", 20): 0.30, ("aca", 20): 0.27,
    ("adjoint", 50): 0.40, ("naive", 50): 0.29, ("aca", 50): 0.26,
}  # fmt: skip
"""Test MSE (× 10⁻²) of a latent ODE on Mujoco, in the source's table 4."""
HORIZON, POINTS, BATCH = 4.0, 40, 8
HIDDEN, STEPS, LEARNING_RATE, RTOL = 24, 100, 0.02, 1e-4
DAMPING = 0.15
HEIGHT = 2.7


def cells() -> list[Cell]:
    """Every share of points, method and seed."""
    return [
        Cell(f"{percent}_{method}_{seed}", {"percent": percent, "method": method, "seed": seed})
        for percent in PERCENT
        for method in METHODS
        for seed in SEEDS
    ]


def measure(percent: int, method: str, seed: int) -> dict[str, Any]:
    """Train once; test on trajectories that were not seen, at all points."""
    from node_diag.config_sources import resolve
    from node_diag.preparation import make_setup
    from node_diag.registry import METHODS as REGISTRY
    from node_diag.training import Schedule, fit

    field = _field(seed)
    problem = _series(field, seed, percent)
    setup = make_setup(problem, resolve({"rtol": RTOL}, {}, None).config)
    found = fit(
        method, REGISTRY.load(method), problem, setup, Schedule(STEPS, LEARNING_RATE), seed=seed,
        evaluate=lambda _: {"test_mse": _test_mse(field, seed)},
    )  # fmt: skip
    return found.model_dump(mode="json")


def _field(seed: int) -> Any:
    import torch
    from torch import nn

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(2, HIDDEN), nn.Linear(HIDDEN, 2)

        def forward(self, t: Tensor, z: Tensor) -> Tensor:
            return self.outer(torch.tanh(self.inner(z)))

    torch.manual_seed(seed)
    return Field().double()


def _trajectories(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Times (POINTS + 1,), starts (BATCH, 2) and states (POINTS, BATCH, 2) of the pendulum."""
    import torch

    from node_diag import Problem, solve

    generator = torch.Generator().manual_seed(seed)
    z0 = 2 * torch.rand(BATCH, 2, generator=generator, dtype=torch.float64) - 1
    ts = torch.linspace(0, HORIZON, POINTS + 1, dtype=torch.float64)

    def pendulum(t: Tensor, z: Tensor) -> Tensor:
        angle, speed = z.unbind(-1)
        return torch.stack([speed, -torch.sin(angle) - DAMPING * speed], -1)

    problem = Problem(pendulum, z0, ts, lambda zs: zs.sum(), name="pendulum")
    return ts, z0, solve(problem, "dopri5", rtol=1e-10, atol=1e-10).zs.reshape(POINTS, BATCH, 2)


def _series(field: Any, seed: int, percent: int) -> Problem:
    """Each trajectory at its own times: the loss looks at those alone."""
    import torch

    from node_diag import Problem

    ts, z0, states = _trajectories(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    n_seen = max(1, POINTS * percent // 100)
    order = torch.rand(POINTS, BATCH, generator=generator).argsort(0)
    seen = order < n_seen  # of every column as many
    rows = seen.any(1)
    mask = seen[rows].unsqueeze(-1)
    wanted = states[rows]
    times = torch.cat([ts[:1], ts[1:][rows]])

    def loss(zs: Tensor) -> Tensor:
        return ((zs - wanted) ** 2 * mask).sum() / (2 * mask.sum())

    return Problem(field, z0, times, loss, name="pendulum")


def _test_mse(field: Any, seed: int) -> float:
    """Of other trajectories, at all points, from a solve far below the tolerance of training."""
    from node_diag import Problem, solve

    ts, z0, states = _trajectories(500 + seed)
    problem = Problem(field, z0, ts, lambda zs: (zs - states).square().mean(), name="test")
    return float(problem.loss_of(solve(problem, "dopri5", rtol=1e-8, atol=1e-8).zs))


def _tests(results: Results, percent: int, method: str) -> list[float]:
    runs = [results[f"{percent}_{method}_{seed}"] for seed in SEEDS]
    return [run["metrics"]["test_mse"] for run in runs if run.get("status") == "ok"]


def conclude(results: Results) -> Conclusion:
    """Test errors beside theirs; whether the methods are in their order."""
    claims: list[Claim] = []
    for percent in PERCENT:
        ours = {m: _tests(results, percent, m) for m in METHODS}
        theirs = {m: THEIRS[m, percent] for m in METHODS}
        means = {m: statistics.mean(v) for m, v in ours.items() if v}
        order = sorted(means, key=lambda m: means[m])
        spread = max((max(v) - min(v) for v in ours.values() if v), default=0.0)
        tells = bool(means) and max(means.values()) - min(means.values()) > spread
        same = order == sorted(METHODS, key=lambda m: theirs[m])
        claims.append(
            Claim(
                f"test MSE with {percent} % of the points",
                ", ".join(f"{m} {100 * v / 1e4:.4f}" for m, v in theirs.items()),
                ", ".join(f"{m} {scientific(v)}" for m, v in means.items()),
                ("agrees" if same else "contradicts") if tells else "differs",
                f"order {' < '.join(order)}"
                if tells
                else f"the methods are within the spread of the seeds, {scientific(spread)}",
            )
        )
    by_share = [_tests(results, percent, "aca") for percent in PERCENT]
    falls = all(by_share) and statistics.mean(by_share[0]) > statistics.mean(by_share[-1])
    claims.append(
        Claim(
            "more points help",
            "MSE falls from 10 to 50 %",
            ", ".join(scientific(statistics.mean(v)) if v else NOTHING for v in by_share)
            + " with aca",
            "agrees" if falls else "contradicts",
        )
    )
    return Conclusion(
        "At this size the share of points decides the test error"
        f"{'' if falls else ' less than the seeds do'}; the gradient method "
        f"{'does not' if all(c.agreement == 'differs' for c in claims[:-1]) else 'does as well'}.",
        claims,
        [_picture(results)],
        [_table(results)],
        [
            f"Reduced: a plain Neural ODE (2–{HIDDEN}–2, tanh) on {BATCH} trajectories of a damped "
            f"pendulum with {POINTS} points on [0, {HORIZON:g}], {STEPS} steps of Adam at "
            f"{LEARNING_RATE:g}, dopri5 at rtol = atol = {RTOL:g}, {len(SEEDS)} seeds. The "
            "source's is a latent ODE on Mujoco; its errors are of other data, so that only the "
            "order of the methods can be compared.",
        ],
    )


def _picture(results: Results) -> Picture:
    title = "Test error over the share of points seen"
    styles = looks(METHODS)
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker), m)
        for m in METHODS
    ]
    figure, top = blank(title, entries, HEIGHT + 0.75, ["Every point is one seed."])
    axes = place(figure, 0.95, top + 0.15, HEIGHT)
    for i, m in enumerate(METHODS):
        points = [(p + 0.8 * (i - 1), e) for p in PERCENT for e in _tests(results, p, m)]
        axes.plot(
            [x for x, _ in points], [y for _, y in points],
            color=styles[m].colour, ls="none", marker=styles[m].marker, label=m,
        )  # fmt: skip
    axes.set_xticks(PERCENT, [f"{p} %" for p in PERCENT])
    axes.set_ylim(bottom=0)
    label(axes, "points seen", "test MSE", left=0.65)
    rows = [
        (f"{p} %", m, ", ".join(map(scientific, _tests(results, p, m))))
        for p in PERCENT
        for m in METHODS
    ]
    table = Table(title, ("points", "method", "test MSE of the seeds"), rows, frozenset({0, 1, 2}))
    text = "; ".join(f"{p} {m} {values}" for p, m, values in rows)
    return Picture("test_error", title, figure, f"{title}: {text}.", table)


def _table(results: Results) -> Table:
    rows: list[Sequence[str]] = []
    for key, run in results.items():
        percent, method, seed = key.split("_")
        rows.append(
            (
                f"{percent} %", method, seed, run.get("failure") or "ok",
                scientific(run.get("final_loss")),
                scientific(run.get("metrics", {}).get("test_mse")),
                count(run["nfe"][-1]) if run.get("nfe") else NOTHING,
            )
        )  # fmt: skip
    columns = ("points", "method", "seed", "status", "training MSE", "test MSE", "evaluations")
    return Table("All runs", columns, [tuple(r) for r in rows], frozenset({0, 1, 3}))


EXPERIMENT = Experiment(
    "Irregularly sampled series",
    "slides on the adaptive checkpoint adjoint (Zhuang et al., 2020), “time series modeling for "
    "irregularly sampled data”, table 4",
    "Trajectories of a damped pendulum are seen at 10, 20 or 50 % of their points, each at its own "
    "times. A Neural ODE is trained on them from the same starts with each method and tested on "
    "trajectories it has not seen.",
    cells,
    measure,
    conclude,
)

"""Continuous backpropagation θ' = −ηL'(θ) for L = θ⁴/2: closed form, solved as an ODE, and descent.

Training as a flow: gradient descent with learning rate s is Euler's method for it with steps s/η.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.experiments.fit import exponent
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.style import MUTED, looks
from node_diag.outputs.numbers import general, scientific
from node_diag.outputs.table import Table

START, RATE, HORIZON = 1.5, 1.0, 5.0
"""θ(0), η and the last time."""
PRINTED, RIGHT = 6, 4
"""The factor in θ(0)(1 + cηθ(0)²t)^(−1/2): as printed in the source, and as derived."""
LEARNING_RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
N_FITTED = 4
"""Of the smallest learning rates, where the error's leading term is what is left."""
N_TIMES = 50
HEIGHT = 2.7


def closed_form(t: float, factor: int) -> float:
    """θ(t)."""
    return START / math.sqrt(1 + factor * RATE * START**2 * t)


def residual(t: float, factor: int) -> float:
    """θ' + 2ηθ³ of a closed form: zero if it solves the equation."""
    theta = closed_form(t, factor)
    slope = -0.5 * factor * RATE * theta**3
    return slope + 2 * RATE * theta**3


def cells() -> list[Cell]:
    """The flow as an ODE, and descent with every learning rate."""
    return [Cell("flow"), *(Cell(f"descent_{s:g}", {"learning_rate": s}) for s in LEARNING_RATES)]


def measure(learning_rate: float | None = None) -> dict[str, Any]:
    """θ at N_TIMES times by an ODE solve, or by descent with autograd's gradient of L."""
    import torch

    ts = torch.linspace(0, HORIZON, N_TIMES + 1, dtype=torch.float64)
    if learning_rate is None:
        return {"ts": ts.tolist(), "theta": _flow(ts)}
    theta = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    path, n_steps = [START], round(HORIZON * RATE / learning_rate)
    for _ in range(n_steps):
        (slope,) = torch.autograd.grad(theta**4 / 2, theta)
        theta = (theta - learning_rate * slope).detach().requires_grad_()
        path.append(theta.item())
    every = max(1, n_steps // N_TIMES)
    times = [i * learning_rate / RATE for i in range(n_steps + 1)]
    error = max(abs(x - closed_form(t, RIGHT)) for t, x in zip(times, path, strict=True))
    return {"ts": times[::every], "theta": path[::every], "max_error": error, "n_steps": n_steps}


def _flow(ts: Any) -> list[float]:
    """The same by the solver, with the slope taken from autograd."""
    import torch

    from node_diag import Problem, solve

    def descent(t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            theta = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad((theta**4 / 2).sum(), theta)
        return -RATE * slope

    start = torch.tensor([START], dtype=torch.float64)
    problem = Problem(descent, start, ts, lambda zs: zs[-1].sum(), name="gradient-flow")
    found = solve(problem, "dopri5", rtol=1e-12, atol=1e-14)
    return [START, *found.zs[:, 0].tolist()]


def conclude(results: Results) -> Conclusion:
    """Which closed form solves the equation, and how descent approaches the flow."""
    flow = results["flow"]
    by_ode = {
        factor: max(
            abs(x - closed_form(t, factor)) for t, x in zip(flow["ts"], flow["theta"], strict=True)
        )
        for factor in (PRINTED, RIGHT)
    }
    descents = [(s, results[f"descent_{s:g}"]["max_error"]) for s in LEARNING_RATES]
    order = exponent(*zip(*descents[-N_FITTED:], strict=True))
    at = max(abs(residual(t, PRINTED)) for t in flow["ts"])
    claims = [
        Claim(
            "solution of θ′ = −2ηθ³",
            "θ(0)(1 + 6ηθ(0)²t)^(−1/2)",
            "θ(0)(1 + 4ηθ(0)²t)^(−1/2)",
            "contradicts",
            f"the printed formula leaves a residual θ′ + 2ηθ³ of up to {general(at)} and is "
            f"{scientific(by_ode[PRINTED])} away from a solve at rtol 1e-12; with 4 instead of 6 "
            f"it is {scientific(by_ode[RIGHT])}",
        ),
        Claim(
            "θ decreases over time",
            "yes",
            f"from {general(START)} to {general(flow['theta'][-1])} at t = {HORIZON:g}",
            "agrees",
        ),
        Claim(
            "gradient descent follows the flow",
            "the flow is training in continuous time",
            f"largest distance falls as (learning rate)^({order})",
            "agrees" if order.holds(1) else "contradicts",
            "descent is Euler's method for the flow, which has order 1",
        ),
    ]
    return Conclusion(
        "The printed closed form does not solve the equation: its 6 has to be 4. With 4 it agrees "
        f"with the solved flow to {scientific(by_ode[RIGHT])}, and descent converges to it.",
        claims,
        [_paths(results), _convergence(descents)],
        notes=[
            f"θ(0) = {START:g}, η = {RATE:g}. The exponent is fitted to the {N_FITTED} smallest "
            "learning rates; ± is its 95 % confidence interval.",
        ],
    )


def _paths(results: Results) -> Picture:
    largest = f"descent_{LEARNING_RATES[0]:g}"
    styles = looks(["flow", "printed", "descent"])
    ts = results["flow"]["ts"]
    curves = {
        "flow": ("solved flow, and 4 in the formula", ts, results["flow"]["theta"]),
        "printed": ("6 in the formula, as printed", ts, [closed_form(t, PRINTED) for t in ts]),
        "descent": (
            f"descent, learning rate {LEARNING_RATES[0]:g}",
            results[largest]["ts"],
            results[largest]["theta"],
        ),
    }
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash), name)
        for n, (name, _, _) in curves.items()
    ]
    figure, top = blank("θ over time", entries, HEIGHT + 0.75)
    axes = place(figure, 0.95, top + 0.15, HEIGHT)
    for n, (_, times, theta) in curves.items():
        axes.plot(times, theta, color=styles[n].colour, ls=styles[n].dash)
    label(axes, "t", "θ", left=0.6)
    rows = [
        (general(t), general(x), general(closed_form(t, RIGHT)), general(closed_form(t, PRINTED)))
        for t, x in zip(ts, results["flow"]["theta"], strict=True)
    ]
    table = Table("θ over time", ("t", "solved", "with 4", "with 6, as printed"), rows, frozenset())
    text = (
        f"θ falls from {START:g}; the solved flow and the formula with 4 lie on each other, the "
        "printed one with 6 lies below them."
    )
    return Picture("paths", "θ over time", figure, text, table)


def _convergence(descents: Sequence[tuple[float, float]]) -> Picture:
    title = "Distance of gradient descent from the flow"
    figure, top = blank(title, [], HEIGHT + 0.75)
    axes = place(figure, 0.95, top + 0.15, HEIGHT)
    axes.set_xscale("log")
    axes.set_yscale("log")
    look = looks(["descent"])["descent"]
    axes.plot(*zip(*descents, strict=True), color=look.colour, marker=look.marker)
    first_s, first_e = descents[0]
    line = [(s, first_e * s / first_s) for s, _ in descents]
    axes.plot(*zip(*line, strict=True), color=MUTED, ls=":")
    axes.annotate("order 1", line[-1], color=MUTED, xytext=(6, 10), textcoords="offset points")
    decades(axes.xaxis)
    decades(axes.yaxis)
    label(axes, "learning rate", "largest |θ − flow|", left=0.65)
    rows = [(general(s), scientific(e)) for s, e in descents]
    table = Table(title, ("learning rate", "largest distance"), rows, frozenset())
    text = f"{title}: from {scientific(first_e)} to {scientific(descents[-1][1])}, in proportion."
    return Picture("convergence", title, figure, text, table)


EXPERIMENT = Experiment(
    "Continuous backpropagation for L = θ⁴/2",
    "essay on the adjoint method and continuous backpropagation, section 2.5",
    "θ′ = −ηL′(θ) is training with infinitely small steps. For L = θ⁴/2 it has a closed form; it "
    "is compared with the flow solved as an ODE and with gradient descent at seven learning rates.",
    cells,
    measure,
    conclude,
)

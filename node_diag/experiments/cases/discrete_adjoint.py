"""Euler's discrete adjoint is backprop through a ResNet, and meets the continuous one as h → 0.

Three gradients of the same solve on fixed steps: the discrete adjoint, backprop through plain
residual layers, and the continuous adjoint solved in reverse time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.experiments.fit import Exponent, exponent
from node_diag.experiments.truth import distance, flat, true_gradient
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import general, scientific
from node_diag.outputs.table import Table

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
STEPS = (16, 32, 64, 128, 256)
"""Of the interval."""
DEPTH, WIDTH, BATCH, HIDDEN = 24, 3, 4, 8
"""Of the residual network: layers, features, rows, hidden units."""
BAR = 2.0**-52 * DEPTH * 20
"""Round-off of two orders of the same sums: a few epsilon for each layer, 20 to be safe."""
N_FITTED = 3
HEIGHT = 3.0


def cells() -> list[Cell]:
    """The residual network, and a cell for every solver."""
    return [Cell("resnet"), *(Cell(solver, {"solver": solver}) for solver in ORDERS)]


def measure(solver: str | None = None) -> dict[str, Any]:
    """Relative distances between gradients."""
    return _resnet() if solver is None else _approach(solver)


def _field() -> Any:
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(0)
    field = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, WIDTH)).double()
    with torch.no_grad():
        for p in field.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) / p.shape[-1] ** 0.5)
    z0 = torch.randn(BATCH, WIDTH, generator=generator, dtype=torch.float64)
    return field, z0


def _resnet() -> dict[str, Any]:
    """Residual layers x + h f(x), one after the other, against Euler with aca and with direct."""
    import torch

    from node_diag import Problem, gradient

    field, z0 = _field()
    h = 1 / DEPTH
    x = z0.clone().requires_grad_()
    y = x
    for _ in range(DEPTH):
        y = y + h * field(y)
    plain = torch.autograd.grad(y.square().mean(), [x, *field.parameters()])
    wanted = torch.cat([part.reshape(-1) for part in plain])
    problem = Problem(
        lambda t, z: field(z), z0, (0.0, 1.0), lambda zs: zs[-1].square().mean(), name="resnet",
        params=dict(field.named_parameters()),
    )  # fmt: skip
    return {
        method: distance(flat(gradient(problem, method, "euler", step_size=h).gradient), wanted)
        for method in ("aca", "direct", "naive")
    }


def _approach(solver: str) -> dict[str, Any]:
    """Distances of both gradients from the true one and from each other, for every step size."""
    from node_diag import gradient
    from node_diag.loader import load

    problem = load("lotkavolterra", {"T": 2.0, "n_obs": 1})
    true, uncertainty = true_gradient(problem)
    rows: list[dict[str, float]] = []
    for n in STEPS:
        h = abs(problem.ts[-1] - problem.ts[0]) / n
        discrete, continuous = (
            flat(gradient(problem, method, solver, step_size=h).gradient)
            for method in ("aca", "adjoint")
        )
        rows.append(
            {
                "h": h,
                "apart": distance(continuous, discrete),
                "discrete": distance(discrete, true),
                "continuous": distance(continuous, true),
            }
        )
    return {"rows": rows, "uncertainty": uncertainty}


def conclude(results: Results) -> Conclusion:
    """Equal to round-off with Euler; the two adjoints meet with the order of the solver."""
    resnet = results["resnet"]
    worst = max(resnet.values())
    same = worst <= BAR
    claims = [
        Claim(
            "Euler with the discrete adjoint is backpropagation through a ResNet",
            "the same recursion",
            f"relative distance {scientific(worst)}",
            "agrees" if same else "contradicts",
            f"{DEPTH} residual layers y + h f(y); round-off allows {scientific(BAR)}",
        )
    ]
    fits = {solver: _orders(results[solver]["rows"]) for solver in ORDERS}
    for solver, order in ORDERS.items():
        apart = fits[solver]["apart"]
        claims.append(
            Claim(
                f"the discrete adjoint tends to the continuous one: {solver}",
                f"as h → 0, order {order}",
                f"h^({apart})",
                "agrees" if apart.value >= order - 0.1 else "contradicts",
                f"distance {scientific(results[solver]['rows'][0]['apart'])} at h = "
                f"{general(results[solver]['rows'][0]['h'])}, "
                f"{scientific(results[solver]['rows'][-1]['apart'])} at h = "
                f"{general(results[solver]['rows'][-1]['h'])}",
            )
        )
    verb = "is" if same else "is not"
    return Conclusion(
        f"Euler with the discrete adjoint {verb} backprop through a residual network to round-off "
        f"({scientific(worst)}), and the two adjoints approach each other with the order of the "
        "solver, which is also how each approaches the true gradient.",
        claims,
        [_picture(results)],
        [_table(fits)],
        [
            "True gradient of Lotka–Volterra on [0, 2] from sensitivity equations, relative "
            f"uncertainty {scientific(results['euler']['uncertainty'])}.",
            f"Orders are fitted to the {N_FITTED} smallest steps; ± is the 95 % confidence "
            "interval.",
        ],
    )


def _orders(rows: Sequence[Mapping[str, float]]) -> dict[str, Exponent]:
    last = rows[-N_FITTED:]
    return {
        name: exponent([r["h"] for r in last], [r[name] for r in last])
        for name in ("apart", "discrete", "continuous")
    }


def _picture(results: Results) -> Picture:
    title = "Distance between the discrete and the continuous adjoint"
    styles = looks(list(ORDERS))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[s].colour, ls=styles[s].dash, marker=styles[s].marker), s)
        for s in ORDERS
    ]
    figure, top = blank(title, entries, HEIGHT + 0.75)
    axes = place(figure, 0.95, top + 0.15, HEIGHT)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for s in ORDERS:
        rows = results[s]["rows"]
        axes.plot(
            [r["h"] for r in rows], [r["apart"] for r in rows],
            color=styles[s].colour, ls=styles[s].dash, marker=styles[s].marker, label=s,
        )  # fmt: skip
    decades(axes.xaxis)
    decades(axes.yaxis)
    label(axes, "step size h", "relative distance", left=0.65)
    texts = [
        (s, general(r["h"]), scientific(r["apart"]), scientific(r["discrete"]),
         scientific(r["continuous"]))
        for s in ORDERS
        for r in results[s]["rows"]
    ]  # fmt: skip
    columns = ("solver", "h", "apart", "discrete from true", "continuous from true")
    text = "; ".join(
        f"{s} from {scientific(results[s]['rows'][0]['apart'])} to "
        f"{scientific(results[s]['rows'][-1]['apart'])}"
        for s in ORDERS
    )
    return Picture("approach", title, figure, f"{title} as h shrinks: {text}.",
                   Table(title, columns, texts))  # fmt: skip


def _table(fits: Mapping[str, Mapping[str, Exponent]]) -> Table:
    rows = [
        (s, str(ORDERS[s]), *(str(fits[s][n]) for n in ("apart", "discrete", "continuous")))
        for s in ORDERS
    ]
    columns = ("solver", "order", "adjoints apart", "discrete from true", "continuous from true")
    return Table("Measured orders", columns, rows)


EXPERIMENT = Experiment(
    "Discrete adjoint, backpropagation and the continuous adjoint",
    "post on the adjoint state method in continuous and discrete time, section 2; slides on the "
    "adaptive checkpoint adjoint, “from discrete-layer ResNet to Neural ODE”",
    "The same gradient three ways: the discrete adjoint of fixed steps, backprop through residual "
    "layers written out, and the continuous adjoint solved in reverse. The first two should be the "
    "same numbers; the third should approach them as the step shrinks.",
    cells,
    measure,
    conclude,
)

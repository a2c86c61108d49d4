"""The multiplier λ(t) as continuous adjoint, as discrete adjoint, and by differences of L in z(t).

And what it gives for the first and the last time: dL/dt0 and dL/dt1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.outputs.figures.canvas import Handle, blank, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import general, scientific, uncertain
from node_diag.outputs.table import Table

PROBLEM = {"mu": 1.0, "T": 5.0}
TIGHT = {"rtol": 1e-10, "atol": 1e-10}
"""Of the adjoints. On this short interval reverse time multiplies errors by about a thousand."""
EXACT = {"rtol": 1e-13, "atol": 1e-13}
"""Of the solves that are differenced."""
DELTAS = (4e-4, 2e-4)
"""Of the differences, for one step of Richardson extrapolation."""
METHODS = {"adjoint": "continuous adjoint", "aca": "discrete adjoint"}
HEIGHT = 2.3


def cells() -> list[Cell]:
    """One: everything refers to the same trajectory."""
    return [Cell("multiplier")]


def measure() -> dict[str, Any]:
    """λ along the trajectory, and the two derivatives in time, each way."""
    from node_diag.experiments.truth import recorded
    from node_diag.loader import load

    problem = load("vanderpol", PROBLEM)
    found: dict[str, Any] = {}
    for method in METHODS:
        run = recorded(problem, method, **TIGHT)
        found[method] = {
            "t": [p.t for p in run.backward.trail],
            "lambda": [p.adj_z.tolist() for p in run.backward.trail],
            "t0": run.gradient.t0,
            "t1": run.gradient.t1,
        }
    times = sorted({t for method in METHODS for t in found[method]["t"]} - {PROBLEM["T"]})
    found["difference"] = {"t": times, **_differences(times), **_in_time()}
    return found


def _loss(start: Any, t0: float, t1: float) -> Any:
    """L for every row of starts."""
    import torch

    from node_diag import Problem, solve
    from node_diag.loader import load

    f = load("vanderpol", PROBLEM).func
    problem = Problem(f, start, (t0, t1), lambda zs: zs[-1].sum(), name="rows")
    last = solve(problem, "dopri5", **EXACT).zs[-1].reshape(start.shape)
    return last.detach().square().sum(-1).to(torch.float64)


def _richardson(of: Any) -> tuple[list[float], list[float]]:
    """Derivatives by central differences extrapolated once, and what the extrapolation changed."""
    coarse, fine = (of(delta) for delta in DELTAS)
    ratio = (DELTAS[0] / DELTAS[1]) ** 2
    better = fine + (fine - coarse) / (ratio - 1)
    return better.tolist(), (better - fine).abs().tolist()


def _differences(times: Sequence[float]) -> dict[str, Any]:
    """dL/dz(t): the state at t moved both ways, and solved on."""
    import torch

    from node_diag import Problem, solve
    from node_diag.loader import load

    whole = load("vanderpol", PROBLEM)
    z0, rising = whole.flat_z0(), [t for t in times if t > 0]
    path = Problem(whole.func, z0, (0.0, *rising, PROBLEM["T"]), lambda zs: zs[-1].sum())
    along = solve(path, "dopri5", **EXACT).zs
    states = {0.0: z0, **{t: along[i] for i, t in enumerate(rising)}}
    offsets = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    found: dict[str, Any] = {"lambda": [], "uncertainty": []}
    for t in times:

        def central(delta: float, t: float = t) -> Any:
            losses = _loss(states[t] + delta * offsets, t, PROBLEM["T"])
            return (losses[::2] - losses[1::2]) / (2 * delta)

        values, uncertainties = _richardson(central)
        found["lambda"].append(values)
        found["uncertainty"].append(uncertainties)
    return found


def _in_time() -> dict[str, Any]:
    """dL/dt0 with z0 held fixed, and dL/dt1."""
    import torch

    from node_diag.loader import load

    z0 = load("vanderpol", PROBLEM).flat_z0().reshape(1, 2)

    def central(delta: float) -> Any:
        T = PROBLEM["T"]
        of_t0 = _loss(z0, delta, T) - _loss(z0, -delta, T)
        of_t1 = _loss(z0, 0.0, T + delta) - _loss(z0, 0.0, T - delta)
        return torch.cat([of_t0, of_t1]) / (2 * delta)

    values, uncertainties = _richardson(central)
    return dict(zip(("t0", "t1", "ut0", "ut1"), (*values, *uncertainties), strict=True))


def conclude(results: Results) -> Conclusion:
    """All three are the same function; its ends give the derivatives in time."""
    found = results["multiplier"]
    by_difference = found["difference"]
    worst = max(max(row) for row in by_difference["uncertainty"])
    apart = {name: _apart(found[name], by_difference) for name in METHODS}
    scale = max(abs(x) for row in by_difference["lambda"] for x in row)
    claims = [
        Claim(
            f"λ(t) is dL/dz(t): {text}",
            "λ(t1) = ∂L/∂z(t1), dλ/dt = −λ ∂f/∂z",
            f"largest difference {uncertain(apart[name], worst)}, of λ up to {general(scale)}",
            "agrees" if apart[name] <= BAR * scale + worst else "contradicts",
            "against central differences of L in z(t)",
        )
        for name, text in METHODS.items()
    ]
    for end, claim in (("t0", "+λ(t0) f(t0) in a comment"), ("t1", "λ(t1) f(t1)")):
        numbers = ", ".join(f"{text} {general(found[name][end])}" for name, text in METHODS.items())
        difference = uncertain_general(by_difference[end], by_difference[f"u{end}"])
        flipped = found["aca"][end] * by_difference[end] < 0
        claims.append(
            Claim(
                f"dL/d{end}",
                claim,
                f"{numbers}, differences {difference}",
                "contradicts" if end == "t0" and not flipped else "agrees",
                "the derivative in the start time, with z0 held, is −λ(t0) f(t0)"
                if end == "t0"
                else "",
            )
        )
    return Conclusion(
        "The multiplier of the derivation is dL/dz(t): continuous adjoint, discrete adjoint and "
        f"finite differences are within {scientific(max(apart.values()))} of each other. The "
        "derivative in the start time is minus what a comment under the post has.",
        claims,
        [_picture(found)],
        [],
        [
            f"van der Pol, μ = {PROBLEM['mu']:g}, T = {PROBLEM['T']:g}; adjoints at rtol = atol = "
            f"{TIGHT['rtol']:g}. ± is what Richardson extrapolation changed in the differences.",
        ],
    )


BAR = 1e-6
"""Of the largest λ: a tolerance of 1e-10, a thousandfold by reverse time, and some steps."""


def uncertain_general(value: float, uncertainty: float) -> str:
    """Six digits and the uncertainty."""
    return f"{general(value)} ± {scientific(uncertainty)}"


def _apart(ours: Any, theirs: Any) -> float:
    """Largest distance of λ from the differences, which were taken at the same times."""
    wanted = dict(zip(theirs["t"], theirs["lambda"], strict=True))
    return max(
        abs(a - b)
        for t, row in zip(ours["t"], ours["lambda"], strict=True)
        if t in wanted
        for a, b in zip(row, wanted[t], strict=True)
    )


def _picture(found: Any) -> Picture:
    title = "The multiplier λ(t), three ways"
    names = {**METHODS, "difference": "finite difference of L in z(t)"}
    styles = looks(list(names))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash, marker=styles[n].marker), text)
        for n, text in names.items()
    ]
    figure, top = blank(title, entries, HEIGHT * 2)
    for i, part in enumerate(("λ for x", "λ for x′")):
        axes = place(figure, 0.95, top + 0.1 + HEIGHT * i, HEIGHT - 0.65)
        for n in names:
            axes.plot(
                found[n]["t"],
                [row[i] for row in found[n]["lambda"]],
                color=styles[n].colour, ls=styles[n].dash if n != "difference" else "none",
                marker=styles[n].marker if n == "difference" else None, label=n,
            )  # fmt: skip
        label(axes, "t" if i else "", part, left=0.65)
    rows = [
        (general(t), general(row[0]), general(row[1]), scientific(max(u)))
        for t, row, u in zip(
            found["difference"]["t"],
            found["difference"]["lambda"],
            found["difference"]["uncertainty"],
            strict=True,
        )
    ]
    columns = ("t", "λ for x", "λ for x′", "uncertainty")
    table = Table("λ by finite differences", columns, rows, frozenset())
    text = f"{title}: the curves lie on each other from λ(t1) = ∂L/∂z(t1) back to λ(t0) = dL/dz0."
    return Picture("multiplier", title, figure, text, table)


EXPERIMENT = Experiment(
    "The Lagrange multiplier of the derivation",
    "post deriving the adjoint equation with Lagrange multipliers, equations 11 and 12 and the "
    "comments on dL/dt0",
    "The adjoint is the multiplier λ(t) of the constraint ż = f. It should be the derivative of "
    "the loss in the state at time t, so it is computed as the continuous adjoint, as the discrete "
    "adjoint, and by moving z(t) and solving on.",
    cells,
    measure,
    conclude,
)

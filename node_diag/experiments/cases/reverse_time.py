"""Van der Pol forward, and backward from where it ended: how far reverse time strays.

The sources' first picture of why a reverse-time adjoint can be wrong, over μ and tolerance and
for the three solvers they name, with ACA's stored trajectory beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.outputs.figures.canvas import WIDTH, Handle, blank, decades, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import NOTHING, count, general, scientific
from node_diag.outputs.table import Table

SOLVERS = {"dopri5": "RK45", "bosh3": "RK23", "heun-euler": "RK12"}
"""Ours, and what the sources call it (MATLAB's ode45 and ode23 are the first two)."""
TOLERANCES = {
    "dopri5": (1e-3, 1e-5, 1e-7, 1e-9),
    "bosh3": (1e-3, 1e-5, 1e-7),
    "heun-euler": (1e-3, 1e-4, 1e-5),
}
"""As tight as the order allows in seconds."""
MUS = (0.5, 1.0, 2.0, 5.0)
HORIZON = 20.0
SHOWN = 1e-5
MOST_POINTS = 400
DRAWN_TO = 6.0
"""A reverse-time path is drawn as long as it stays in the picture."""
LOST = 0.5
"""Relative error of the start from which it is another trajectory."""
HEIGHT = 2.9


def cells() -> list[Cell]:
    """A cell for every solver and μ."""
    return [
        Cell(f"{solver}_mu{mu:g}", {"solver": solver, "mu": mu}) for solver in SOLVERS for mu in MUS
    ]


def measure(solver: str, mu: float) -> dict[str, Any]:
    """Forward, backward, and ACA's redone steps, at every tolerance."""
    return {"runs": [_run(solver, mu, rtol) for rtol in TOLERANCES[solver]]}


def _run(solver: str, mu: float, rtol: float) -> dict[str, Any]:
    from node_diag.errors import SolveError
    from node_diag.field import Field
    from node_diag.loader import load
    from node_diag.measure.trajectory import deviation
    from node_diag.registry import SOLVERS as TABLEAUS
    from node_diag.solvers.integrate import integrate
    from node_diag.solvers.solution import Settings

    problem = load("vanderpol", {"mu": mu, "T": HORIZON})
    settings = Settings(TABLEAUS.load(solver), rtol, rtol)
    f = Field(problem)
    forward = integrate(f, problem.flat_z0(), problem.ts, settings)
    path: list[tuple[float, list[float]]] = [(problem.ts[-1], forward.zs[-1].tolist())]
    failure = None
    try:
        backward = integrate(
            f, forward.zs[-1], problem.ts[::-1], settings,
            on_step=lambda t, z: path.append((t, z.tolist())),
        )  # fmt: skip
        n_reverse = backward.n_accepted
    except SolveError as error:
        failure, n_reverse = error.reason, len(path) - 1
    found = deviation(problem, settings.tableau, forward, path, 0.0)
    every = max(1, len(path) // MOST_POINTS)
    kept = [*range(0, len(path), every), len(path) - 1]
    return {
        "rtol": rtol,
        "n_forward": forward.n_accepted,
        "n_reverse": n_reverse,
        "failure": failure,
        "start_error": None if failure else float(found.error[-1]),
        "aca_error": _redone(f, settings, forward),
        "forward": [z.tolist() for z in forward.checkpoints],
        "t": [float(found.t[i]) for i in kept],
        "error": [float(found.error[i]) for i in kept],
        "reverse": [found.z[i].tolist() for i in kept],
    }


def _redone(f: Any, settings: Any, forward: Any) -> float:
    """Largest distance of a step redone from its checkpoint from the next checkpoint."""
    from node_diag.solvers.replay import redo_step

    grid, worst = forward.grid, 0.0
    for i, t in enumerate(grid.starts()):
        z, after = forward.checkpoints[i : i + 2]
        redone, _ = redo_step(settings.tableau, f, t, z, grid.h[i], [])
        worst = max(worst, float((redone - after).abs().max()))
    return worst


Run = Mapping[str, Any]


def conclude(results: Results) -> Conclusion:
    """How often reverse time ends elsewhere, and that ACA's trajectory is the forward one."""
    runs = {
        (solver, mu, run["rtol"]): run
        for solver in SOLVERS
        for mu in MUS
        for run in results[f"{solver}_mu{mu:g}"].get("runs", ())
    }
    lost = [key for key, run in runs.items() if _is_lost(run)]
    aca = max(run["aca_error"] for run in runs.values())
    paper = {mu: runs["dopri5", mu, SHOWN] for mu in MUS if ("dopri5", mu, SHOWN) in runs}
    at = ", ".join(f"{_end(run)} (μ = {mu:g})" for mu, run in paper.items())
    claims = [
        Claim(
            "forward and reverse trajectories mismatch on van der Pol with ode45",
            "they might, from numerical errors",
            f"relative error of the start: {at}",
            "agrees" if any(map(_is_lost, paper.values())) else "contradicts",
            f"dopri5 at rtol = atol = {SHOWN:g}, T = {HORIZON:g}",
        ),
        Claim(
            "ACA guarantees the accuracy of the reverse-time trajectory",
            "yes: it is the stored one",
            f"steps redone from their checkpoints differ by {scientific(aca)}",
            "agrees" if aca == 0 else "contradicts",
            "over all solvers, μ and tolerances",
        ),
        _tightening(runs),
    ]
    return Conclusion(
        f"Solved backward from where it ended, van der Pol does not come back to its start in "
        f"{len(lost)} of {len(runs)} runs; ACA's trajectory is the forward one to the last bit.",
        claims,
        [_phase(paper), _errors(paper)],
        [_table(runs)],
        [
            f"T = {HORIZON:g}, z0 = (2, 0). Errors are relative to the largest ‖z(t)‖; a start "
            f"that is off by more than {LOST:g} counts as lost.",
        ],
    )


def _is_lost(run: Run) -> bool:
    error = run["start_error"]
    return error is None or not error <= LOST


def _end(run: Run) -> str:
    return str(run["failure"]) if run["failure"] else scientific(run["start_error"])


def _tightening(runs: Mapping[tuple[str, float, float], Run]) -> Claim:
    """Whether a tighter tolerance brings the trajectory back."""
    tightest = {mu: runs["dopri5", mu, TOLERANCES["dopri5"][-1]] for mu in MUS}
    lost = [mu for mu, run in tightest.items() if _is_lost(run)]
    return Claim(
        "the mismatch is numerical error",
        "so a tighter tolerance should remove it",
        f"at rtol {TOLERANCES['dopri5'][-1]:g} the start is still lost for μ = "
        f"{', '.join(f'{mu:g}' for mu in lost)}" if lost else "it does",
        "differs" if lost else "agrees",
        "reverse time multiplies every error by the exponential of what the forward flow "
        "contracts, which is more than float64 has digits",
    )  # fmt: skip


def _phase(paper: Mapping[float, Run]) -> Picture:
    """Phase planes, two beside each other."""
    title = "Forward and reverse-time trajectory of van der Pol"
    styles = looks(["aca", "adjoint"])
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles["aca"].colour), "forward, and ACA's"),
        (Line2D([], [], color=styles["adjoint"].colour, ls=(0, (5, 2))), "reverse time"),
        (Line2D([], [], color="none", marker="o", mec=styles["aca"].colour, mfc="none"), "start"),
    ]
    note = f"dopri5 (RK45) at rtol = atol = {SHOWN:g}, T = {HORIZON:g}; cut off where it leaves."
    rows = -(-len(paper) // 2)
    figure, top = blank(title, entries, HEIGHT * rows, [note])
    half = WIDTH / 2
    for i, (mu, run) in enumerate(paper.items()):
        left = 0.75 if i % 2 == 0 else half + 0.55
        right = half + 0.15 if i % 2 == 0 else 0.35
        axes = place(figure, left, top + 0.3 + HEIGHT * (i // 2), HEIGHT - 0.95, right)
        axes.set_title(f"μ = {mu:g}")
        x, v = zip(*run["forward"], strict=True)
        axes.plot(x, v, color=styles["aca"].colour)
        xb, vb = zip(*_inside(run["reverse"], max(map(abs, v))), strict=True)
        axes.plot(xb, vb, color=styles["adjoint"].colour, ls=(0, (5, 2)))
        axes.plot(*run["forward"][0], "o", mec=styles["aca"].colour, mfc="none", ms=9)
        label(axes, "x" if i // 2 == rows - 1 else "", "x′" if i % 2 == 0 else "", left=0.45)
    text = "; ".join(f"μ = {mu:g}: {_end(run)}" for mu, run in paper.items())
    return Picture(
        "phase", title, figure, f"{title}; relative error of the start {text}.", _starts(paper)
    )


def _inside(path: Sequence[Sequence[float]], tallest: float) -> list[Sequence[float]]:
    """The path as far as it stays in the picture."""
    shown: list[Sequence[float]] = []
    for x, v in path:
        if not (abs(x) < DRAWN_TO and abs(v) < 1.5 * tallest):
            break
        shown.append((x, v))
    return shown


def _errors(paper: Mapping[float, Run]) -> Picture:
    """‖z̄ − z‖ over time."""
    title = "Error of the reverse-time trajectory over time"
    names = {mu: f"μ = {mu:g}" for mu in paper}
    styles = looks(list(names.values()))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash), n) for n in names.values()
    ]
    note = "ACA's error is exactly zero. A solve that failed ends where it did."
    figure, top = blank(title, entries, HEIGHT + 0.75, [note])
    axes = place(figure, 0.95, top + 0.15, HEIGHT)
    axes.set_yscale("log")
    for mu, run in paper.items():
        look = styles[names[mu]]
        shown = [(t, e) for t, e in zip(run["t"], run["error"], strict=True) if e > 0]
        axes.plot(*zip(*shown, strict=True), color=look.colour, ls=look.dash)
    decades(axes.yaxis)
    label(axes, "t (the reverse solve goes from right to left)", "relative error", left=0.65)
    text = "; ".join(f"{names[mu]} up to {scientific(_largest(run))}" for mu, run in paper.items())
    return Picture("error", title, figure, f"{title}: {text}.", _starts(paper))


def _largest(run: Run) -> float:
    return max((e for e in run["error"] if math.isfinite(e)), default=math.nan)


def _starts(paper: Mapping[float, Run]) -> Table:
    rows = [
        (general(mu), _end(run), scientific(_largest(run)), count(run["n_reverse"]))
        for mu, run in paper.items()
    ]
    columns = ("μ", "error of the start", "largest error", "reverse steps")
    return Table("Reverse time with RK45", columns, rows, frozenset())


def _table(runs: Mapping[tuple[str, float, float], Run]) -> Table:
    rows = [
        (
            f"{solver} ({SOLVERS[solver]})", general(mu), scientific(rtol), count(run["n_forward"]),
            count(run["n_reverse"]), scientific(run["start_error"]), run["failure"] or NOTHING,
        )
        for (solver, mu, rtol), run in runs.items()
    ]  # fmt: skip
    columns = ("solver", "μ", "rtol", "steps", "reverse steps", "error of the start", "failure")
    return Table("All runs", columns, rows, frozenset({0, 6}))


EXPERIMENT = Experiment(
    "Reverse time on van der Pol",
    "slides on the adaptive checkpoint adjoint (Zhuang et al., 2020), “numerical implementation of "
    "the adjoint method”",
    "A continuous adjoint solves z backward from where the forward solve ended. Whether it comes "
    "back is measured by doing just that, with the same solver and tolerance, for several μ and "
    "tolerances.",
    cells,
    measure,
    conclude,
)

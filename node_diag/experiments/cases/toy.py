"""Gradient error on z' = kz, L = z(T)²: every method, solver, T, k and tolerance.

The sources' toy problem has a gradient that can be written down, 2 z0 exp(2kT), so that every
method's error is known to round-off.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import count, general, scientific
from node_diag.outputs.table import Table

METHODS = ("adjoint", "aca", "naive", "direct")
FIXED = ("euler", "midpoint", "heun", "rk4")
ADAPTIVE = ("heun-euler", "bosh3", "dopri5", "tsit5")
RATES = (-2.0, -0.5, 0.5)
HORIZONS = (1.0, 3.0, 10.0, 20.0)
SETTINGS = {
    "heun-euler": (1e-3, 1e-4, 1e-5),
    "bosh3": (1e-3, 1e-5, 1e-6),
    "dopri5": (1e-3, 1e-5, 1e-7),
    "tsit5": (1e-3, 1e-5, 1e-7),
    **dict.fromkeys(FIXED, (0.2, 0.1, 0.05)),
}
"""Tolerances, as tight as the order allows in seconds; step sizes of the fixed-step solvers."""
PAPER = 1e-5

ROUND_OFF = 1e-16
"""Drawn where an error is exactly zero."""
CLOSE = 0.01
HEIGHT = 2.3

Row = Mapping[str, Any]


def cells() -> list[Cell]:
    """A cell for every solver and k."""
    return [
        Cell(f"{solver}_k{k:g}", {"solver": solver, "k": k})
        for solver in (*FIXED, *ADAPTIVE)
        for k in RATES
    ]


def measure(solver: str, k: float) -> dict[str, Any]:
    """Relative errors in dL/dz0 and dL/dk over T and the tolerance or step."""
    return {"rows": list(_rows(solver, k))}


def _rows(solver: str, k: float) -> Iterator[dict[str, Any]]:
    import torch

    from node_diag import gradient
    from node_diag.errors import SolveError
    from node_diag.loader import load

    for T in HORIZONS:
        problem = load("linear", {"k": k, "T": T, "z0": 1.0})
        true = {"z0": 2 * math.exp(2 * k * T), "k": 2 * T * math.exp(2 * k * T)}
        for setting in SETTINGS[solver]:
            options: dict[str, Any] = (
                {"step_size": setting} if solver in FIXED else {"rtol": setting, "atol": setting}
            )
            for method in METHODS:
                row: dict[str, Any] = {"T": T, "setting": setting, "method": method}
                try:
                    found = gradient(problem, method, solver, **options)
                except SolveError as error:
                    yield row | {"error_z0": None, "error_k": None, "failure": error.reason}
                    continue
                grad = found.gradient
                (by_k,) = grad.params.values()
                errors = {
                    "error_z0": abs(float(grad.z0[0]) / true["z0"] - 1),
                    "error_k": abs(float(torch.as_tensor(by_k)) / true["k"] - 1),
                }
                yield row | errors | {"nfe": found.nfe_forward + found.nfe_backward}


def conclude(results: Results) -> Conclusion:
    """How the methods compare, and where the source's order of them does not hold."""
    rows: list[Row] = [
        {**row, "solver": key.split("_k")[0], "k": float(key.split("_k")[1])}
        for key, found in results.items()
        for row in found.get("rows", ())
    ]
    groups = [
        (f"{'expanding, k > 0' if sign > 0 else 'contracting, k < 0'}, {kind} steps", part)
        for sign in (1, -1)
        for kind, solvers in (("adaptive", ADAPTIVE), ("fixed", FIXED))
        if (part := [r for r in rows if r["k"] * sign > 0 and r["solver"] in solvers])
    ]
    claims = [_order(name, part, other) for name, part in groups for other in ("adjoint", "naive")]
    wrong = [r for r in rows if r["method"] == "adjoint" and _is_wrong(r)]
    summary = (
        "No method is the most accurate everywhere: which one is depends on the sign of k. The "
        f"adjoint loses all digits or fails in {len(wrong)} of "
        f"{sum(r['method'] == 'adjoint' for r in rows)} cases, {sum(r['k'] < 0 for r in wrong)} of "
        "them with k < 0, where reverse time is unstable."
    )
    return Conclusion(
        summary,
        claims,
        [_picture(rows, "error_z0", "dL/dz0"), _picture(rows, "error_k", "dL/dk")],
        [_table(rows)],
        [
            "Errors are relative to the closed form; exp and its rounding leave about 2|k|T·1e-16.",
            "On fixed steps of a linear field the reverse solve applies the same polynomial in hk "
            "as the forward one, so that all methods give the same dL/dz0.",
            "Fixed-step solvers have step sizes where the others have rtol = atol. With k < 0 the "
            "state falls below atol, so that an adaptive solver's relative error grows with T.",
        ],
    )


def _is_wrong(row: Row) -> bool:
    error = row["error_z0"]
    return error is None or not error < 1


def _order(name: str, rows: Sequence[Row], other: str) -> Claim:
    """Whether ACA's error is at most another method's, over all cases of a group."""
    by_case: dict[tuple[Any, ...], dict[str, Row]] = {}
    for r in rows:
        by_case.setdefault((r["solver"], r["k"], r["T"], r["setting"]), {})[r["method"]] = r
    ratios = [
        _error(case[other]) / max(_error(case["aca"]), ROUND_OFF) for case in by_case.values()
    ]
    better = sum(ratio > 1 + CLOSE for ratio in ratios)
    worse = sum(ratio < 1 - CLOSE for ratio in ratios)
    if worse == 0:
        agreement = "agrees" if better else "differs"
    else:
        agreement = "agrees" if better > 9 * worse else "contradicts"
    return Claim(
        f"ACA against {other}: {name}",
        "ACA has the smallest error",
        f"ACA closer in {better}, {other} closer in {worse}, same to 1 % in "
        f"{len(ratios) - better - worse} of {len(ratios)} cases",
        agreement,
        f"median of {other}'s error over ACA's: {general(statistics.median(ratios))}",
    )


def _error(row: Row) -> float:
    """Of dL/dz0; a failed solve has lost everything."""
    return math.inf if row["error_z0"] is None else max(row["error_z0"], ROUND_OFF)


def _picture(rows: Sequence[Row], quantity: str, name: str) -> Picture:
    """Error over T for dopri5 at the source's tolerance, a panel for each k."""
    shown = [r for r in rows if r["solver"] == "dopri5" and r["setting"] == PAPER]
    styles = looks(METHODS)
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker), m)
        for m in METHODS
    ]
    note = f"dopri5 at rtol = atol = {PAPER:g}. A method that failed has no point."
    title = f"Relative error of {name} over T"
    figure, top = blank(title, entries, HEIGHT * len(RATES), [note])
    for i, k in enumerate(RATES):
        axes = place(figure, 0.95, top + 0.3 + HEIGHT * i, HEIGHT - 0.85)
        axes.set_title(f"k = {k:g}")
        axes.set_yscale("log")
        for m in METHODS:
            line = [r for r in shown if r["k"] == k and r["method"] == m]
            axes.plot(
                [r["T"] for r in line],
                [math.nan if r[quantity] is None else max(r[quantity], ROUND_OFF) for r in line],
                color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker, label=m,
            )  # fmt: skip
        decades(axes.yaxis)
        label(axes, "T" if i == len(RATES) - 1 else "", "relative error", left=0.65)
    worst = max((r for r in shown if r[quantity] is not None), key=lambda r: r[quantity])
    text = (
        f"{title}, dopri5 at {PAPER:g}: the largest is {scientific(worst[quantity])} "
        f"({worst['method']}, k = {worst['k']:g}, T = {worst['T']:g})."
    )
    return Picture(quantity, title, figure, text, _table(shown))


def _table(rows: Sequence[Row]) -> Table:
    columns = ("solver", "k", "T", "rtol or step", "method", "error dL/dz0", "error dL/dk", "nfe")
    texts = [
        (
            r["solver"], general(r["k"]), general(r["T"]), scientific(r["setting"]), r["method"],
            r.get("failure") or scientific(r["error_z0"]), scientific(r["error_k"]),
            count(r.get("nfe")),
        )
        for r in rows
    ]  # fmt: skip
    return Table(
        "Errors of every method against the closed form", columns, texts, frozenset({0, 4})
    )


EXPERIMENT = Experiment(
    "The toy problem with a gradient known in closed form",
    "slides on the adaptive checkpoint adjoint (Zhuang et al., 2020), “toy example”",
    "z′ = kz, L = z(T)², z0 = 1. dL/dz0 = 2 z0 e^(2kT) and dL/dk = 2T z0² e^(2kT) are known, so "
    "that the error of each method's gradient is too. It is measured for every solver, contracting "
    "and expanding k, T from 1 to 20 and three tolerances or step sizes.",
    cells,
    measure,
    conclude,
)

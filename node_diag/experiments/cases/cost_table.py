"""Table 1 of the ACA paper measured: evaluations, memory and depth against N_f, N_t and m.

Each is varied with the others held, and an exponent is fitted to what was counted. The counts are
exact, so that a confidence interval says how far from a pure power law the count is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.experiments.fit import exponent
from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import count, general, scientific
from node_diag.outputs.table import Table

METHODS = ("adjoint", "naive", "aca", "direct")
LAYERS = (16, 32, 64, 128, 256)
"""N_f: layers of f, with FEW_STEPS."""
STEPS = (100, 200, 400, 800, 1600)
"""N_t, with FEW_LAYERS."""
STEEPNESS = (2, 8, 32, 128, 512)
"""Of the edges of a forcing with N_PULSES pulses, where trials are rejected: it makes m grow."""
N_PULSES = 8
FEW_LAYERS, FEW_STEPS, WIDTH_OF_F = 1, 4, 16
QUANTITIES = {"computation": "evaluations", "memory": "saved_bytes", "depth": "depth"}
VARIABLES = {"N_f": LAYERS, "N_t": STEPS, "m": STEEPNESS}
CLAIMED: dict[tuple[str, str], tuple[str, dict[str, float]]] = {
    ("computation", "naive"): ("N_f·N_t·m·2", {"N_f": 1, "N_t": 1, "m": 1}),
    ("computation", "adjoint"): ("N_f·(N_t + N_r)·m", {"N_f": 1, "N_t": 1, "m": 1}),
    ("computation", "aca"): ("N_f·N_t·(m + 1)", {"N_f": 1, "N_t": 1, "m": 1}),
    ("memory", "naive"): ("N_f·N_t·m", {"N_f": 1, "N_t": 1, "m": 1}),
    ("memory", "adjoint"): ("N_f", {"N_f": 1, "N_t": 0, "m": 0}),
    ("memory", "aca"): ("N_f + N_t", {"N_f": 1, "N_t": 1, "m": 0}),
    ("depth", "naive"): ("N_f·N_t·m", {"N_f": 1, "N_t": 1, "m": 1}),
    ("depth", "adjoint"): ("N_f·N_r", {"N_f": 1, "N_t": 1, "m": 0}),
    ("depth", "aca"): ("N_f·N_t", {"N_f": 1, "N_t": 1, "m": 0}),
}
"""Formula of the source, and what it says of each variable; an m + 1 is fitted against m + 1."""
VDP = {"mu": 2.0, "T": 20.0}
HEIGHT = 2.15

Row = Mapping[str, float]


def cells() -> list[Cell]:
    """A cell for every value of every variable, and the reverse accuracy."""
    varied = [
        Cell(f"{name}_{value}", {"variable": name, "value": value})
        for name, values in VARIABLES.items()
        for value in values
    ]
    return [*varied, Cell("reverse", {"variable": "reverse", "value": 0})]


def measure(variable: str, value: int) -> dict[str, Any]:
    """What every method takes, counted."""
    if variable == "reverse":
        return {"error": {method: _reverse_error(method) for method in METHODS}}
    return {method: _counted(method, variable, value) for method in METHODS}


def _counted(method: str, variable: str, value: int) -> dict[str, float]:
    from node_diag.config_sources import resolve
    from node_diag.measure.counting import count as counted
    from node_diag.preparation import make_setup
    from node_diag.registry import METHODS as REGISTRY

    n_layers = value if variable == "N_f" else FEW_LAYERS
    n_steps = value if variable == "N_t" else FEW_STEPS
    problem = _problem(n_layers, value if variable == "m" else 0)
    options: dict[str, Any] = (
        {"solver": "dopri5", "rtol": 1e-4, "atol": 1e-4}
        if variable == "m"
        else {"solver": "rk4", "step_size": 1 / n_steps}
    )
    setup = make_setup(problem, resolve(options, {}, None).config)
    run, counts = counted(method, REGISTRY.load(method), problem, setup)
    solution, backward = run.solution, run.backward
    reverse = method == "adjoint"
    state_bytes = problem.flat_z0().nbytes
    # As in the source: what a reverse solve evaluates, or what backpropagation goes through.
    again = run.nfe_backward if method in ("adjoint", "aca") else counts.nvjp_backward
    n_steps = solution.n_accepted + (backward.n_steps if reverse else 0)
    trials = n_steps + solution.n_rejected + (backward.n_rejected if reverse else 0)
    return {
        "n_t": solution.n_accepted,
        "n_r": backward.n_steps if reverse else 0,
        "m": trials / n_steps,
        "steps": n_steps,
        "evaluations": n_layers * (run.nfe_forward + again),
        "saved_bytes": counts.saved_bytes,
        "step_bytes": counts.saved_bytes - state_bytes * solution.n_accepted,
        "depth": counts.graph_depth,
    }


def _problem(n_layers: int, steepness: int) -> Any:
    """N_f layers with a skip, so that the dynamics hardly depend on how many there are."""
    import torch

    from node_diag import Problem

    generator = torch.Generator().manual_seed(0)
    shape = (n_layers, WIDTH_OF_F, WIDTH_OF_F)
    weights = torch.randn(shape, generator=generator, dtype=torch.float64) / WIDTH_OF_F**0.5
    params = {f"layer{i}": w.clone().requires_grad_() for i, w in enumerate(weights)}

    def f(t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        hidden = z
        for weight in params.values():
            hidden = torch.tanh(hidden @ weight)
        wave = torch.sin(2 * math.pi * N_PULSES * t)
        return hidden - z + 5.0 * torch.tanh(steepness * wave)

    z0 = torch.linspace(-1, 1, WIDTH_OF_F, dtype=torch.float64)
    return Problem(f, z0, (0.0, 1.0), lambda zs: zs[-1].square().sum(), name="f", params=params)


def _reverse_error(method: str) -> float:
    """Of the state at t0, relative to the largest one; zero where it is stored."""
    from node_diag.config_sources import resolve
    from node_diag.errors import SolveError
    from node_diag.experiments.truth import recorded
    from node_diag.loader import load
    from node_diag.measure.trajectory import deviation
    from node_diag.preparation import make_setup

    problem = load("vanderpol", VDP)
    try:
        run = recorded(problem, method, rtol=1e-5)
    except SolveError:  # it never came back
        return math.inf
    if not run.backward.reconstruction:
        return 0.0
    forward = recorded(problem, "aca", rtol=1e-5).solution  # the same, with its checkpoints kept
    tableau = make_setup(problem, resolve({}, {}, None).config).forward.tableau
    path = run.backward.reconstruction
    return float(deviation(problem, tableau, forward, path, 0.0).error[-1])


def _series(
    results: Results, method: str, quantity: str, variable: str
) -> tuple[list[float], list[float]]:
    """The variable and the quantity, per step where m is varied."""
    rows = [results[f"{variable}_{v}"][method] for v in VARIABLES[variable]]
    if variable == "m":
        plus = CLAIMED.get((quantity, method), ("", {}))[0].endswith("(m + 1)")
        return [row["m"] + plus for row in rows], [_per_step(r, method, quantity) for r in rows]
    x = [float(v) for v in VARIABLES[variable]]
    return x, [row[QUANTITIES[quantity]] for row in rows]


def _per_step(row: Row, method: str, quantity: str) -> float:
    """What is left of a quantity when what it has of N_t and N_r, which m changes, is taken out."""
    if quantity == "memory" and method in ("adjoint", "aca"):
        return row["saved_bytes" if method == "adjoint" else "step_bytes"]
    if quantity == "depth" and method == "adjoint":
        return row["depth"] / row["n_r"]
    return row[QUANTITIES[quantity]] / row["steps"]


def conclude(results: Results) -> Conclusion:
    """The claimed exponents beside the fitted ones."""
    claims: list[Claim] = []
    for (quantity, method), (formula, powers) in CLAIMED.items():
        fits = {v: exponent(*_series(results, method, quantity, v)) for v in VARIABLES}
        off = [v for v, power in powers.items() if not fits[v].holds(power)]
        claims.append(
            Claim(
                f"{quantity} of {method}",
                f"O({formula})",
                ", ".join(f"{v}^({fits[v]})" for v in VARIABLES),
                "contradicts" if off else "agrees",
                "; ".join(_why(results, quantity, method, v) for v in off),
            )
        )
    reverse = results["reverse"]["error"]
    for method, claimed in (("naive", True), ("adjoint", False), ("aca", True)):
        exact = reverse[method] == 0
        claims.append(
            Claim(
                f"reverse accuracy of {method}",
                "yes" if claimed else "no",
                f"relative error of z(t0) {scientific(reverse[method])}"
                if math.isfinite(reverse[method])
                else "the reverse solve fails",
                "agrees" if exact == claimed else "contradicts",
                f"van der Pol, μ = {VDP['mu']:g}, T = {VDP['T']:g}, rtol 1e-5",
            )
        )
    off = sum(claim.agreement == "contradicts" for claim in claims)
    return Conclusion(
        f"{len(claims) - off} of {len(claims)} entries of the table are what is counted"
        + (f"; {off} {'is' if off == 1 else 'are'} not." if off else "."),
        claims,
        [_picture(results, variable) for variable in ("N_f", "N_t")],
        [_table(results)],
        [
            "Computation is counted in evaluations of a layer, memory in bytes that autograd saves "
            "and that are kept as checkpoints at the same time, depth in autograd nodes on the "
            "longest path, summed over the graphs that are built one after the other.",
            f"N_f is varied with {FEW_STEPS} steps of rk4, N_t with {FEW_LAYERS} layer; m by a "
            "forcing with steeper and steeper edges under dopri5, which changes N_t and N_r as "
            "well, so that quantities are per accepted step there, and ACA's memory without its "
            "checkpoints. Exponents are with 95 % confidence "
            "intervals; one counts as agreeing within its interval or 0.1.",
        ],
    )


def _why(results: Results, quantity: str, method: str, variable: str) -> str:
    x, y = _series(results, method, quantity, variable)
    return (
        f"from {variable} = {general(x[0])} to {general(x[-1])} the count goes from "
        f"{count(round(y[0]))} to {count(round(y[-1]))}"
    )


def _picture(results: Results, variable: str) -> Picture:
    title = f"Cost against {variable}"
    styles = looks(METHODS)
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker), m)
        for m in METHODS
    ]
    figure, top = blank(title, entries, HEIGHT * len(QUANTITIES))
    for i, quantity in enumerate(QUANTITIES):
        axes = place(figure, 0.95, top + 0.1 + HEIGHT * i, HEIGHT - 0.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for m in METHODS:
            axes.plot(
                *_series(results, m, quantity, variable),
                color=styles[m].colour, ls=styles[m].dash, marker=styles[m].marker, label=m,
            )  # fmt: skip
        axes.set_xticks(VARIABLES[variable], [str(v) for v in VARIABLES[variable]])
        axes.minorticks_off()
        decades(axes.yaxis)
        label(axes, variable if i == len(QUANTITIES) - 1 else "", quantity, left=0.65)
    rows = [
        (str(v), m, *(count(results[f"{variable}_{v}"][m][q]) for q in QUANTITIES.values()))
        for v in VARIABLES[variable]
        for m in METHODS
    ]
    table = Table(title, (variable, "method", *QUANTITIES), rows, frozenset({1}))
    ends = "; ".join(
        f"{m}'s memory from {count(y[0])} to {count(y[-1])} bytes"
        for m in METHODS
        for y in [_series(results, m, "memory", variable)[1]]
    )
    return Picture(variable.lower(), title, figure, f"{title}: {ends}.", table)


def _table(results: Results) -> Table:
    """All fitted exponents, of direct too, which the source does not have."""
    rows = [
        (
            quantity,
            method,
            CLAIMED.get((quantity, method), ("not in the source", {}))[0],
            *(str(exponent(*_series(results, method, quantity, v))) for v in VARIABLES),
        )
        for quantity in QUANTITIES
        for method in METHODS
    ]
    columns = ("quantity", "method", "source", *(f"exponent in {v}" for v in VARIABLES))
    return Table("Fitted exponents", columns, rows, frozenset({0, 1, 2}))


EXPERIMENT = Experiment(
    "The cost table of the three methods, measured",
    "slides on the adaptive checkpoint adjoint (Zhuang et al., 2020), “comparison with naïve "
    "method” and take-home table",
    "The source gives computation, memory and depth of each method as products of N_f (layers of "
    "f), N_t and N_r (steps forward and in reverse) and m (trials for each step). Each of them is "
    "varied alone and the exponent is fitted to exact counts.",
    cells,
    measure,
    conclude,
)

"""Taylor remainders of every gradient along its own direction."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node_diag.outputs.figures.canvas import Handle, blank, decades, label, place
from node_diag.outputs.figures.curves import method_names
from node_diag.outputs.figures.plot import Plot
from node_diag.outputs.figures.style import MUTED, looks
from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import scientific, uncertain
from node_diag.outputs.table import Table
from node_diag.records import Report, TaylorTest

_HEIGHT = 2.7


def select(report: Report) -> dict[str, TaylorTest]:
    """The first line of every method: along the gradient."""
    return {m.name: m.taylor[0] for m in report.methods if m.taylor}


def draw(report: Report) -> Figure:
    """Remainder against ε; the right gradient falls like ε², a wrong one like ε."""
    tests, styles = select(report), looks(method_names(report))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash), shorten(n, 20)) for n in tests
    ]
    entries += [(Line2D([], [], color=MUTED, ls=":"), "slopes 1 and 2")]
    figure, top = blank("Taylor remainder along the gradient", entries, _HEIGHT + 0.75, [])
    axes = place(figure, 0.95, top + 0.15, _HEIGHT)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, test in tests.items():
        values = [r if 0 < r < math.inf else math.nan for r in test.remainders]
        axes.plot(test.steps, values, color=styles[name].colour, ls=styles[name].dash, label=name)
    _guides(axes, tests)
    decades(axes.xaxis)
    decades(axes.yaxis)
    label(axes, "ε", "|J(x + εv) − J(x) − ε g·v|", left=0.65)
    return figure


def _guides(axes: Axes, tests: dict[str, TaylorTest]) -> None:
    """Lines of slope 1 and 2 through the largest remainder."""
    test = next(iter(tests.values()))
    first, last = test.steps[0], test.steps[-1]
    finite = [t.remainders[0] for t in tests.values() if 0 < t.remainders[0] < math.inf]
    for height, slope in ((max(finite, default=0.0), 1), (min(finite, default=0.0), 2)):
        if height:
            ends = [2 * height, 2 * height * (last / first) ** slope]
            axes.plot([first, last], ends, color=MUTED, ls=":", lw=1)


def absent(report: Report) -> str:
    """Why there is no test."""
    if select(report):
        return ""
    return "There is no discrete reference to test along, or no method returned a gradient."


def describe(report: Report) -> str:
    """The odd parts, in words."""
    parts = [
        f"{shorten(name)} {uncertain(test.odd_part, test.uncertainty)}"
        for name, test in select(report).items()
    ]
    return f"Taylor remainders along the gradient. Error by the odd-part fit: {', '.join(parts)}."


def table(report: Report) -> Table:
    """Odd part with its uncertainty, and the range of the rates, for every line."""
    rows: list[tuple[str, ...]] = []
    for m in report.methods:
        for test in m.taylor:
            rates = [rate for rate in test.rates if rate is not None]
            span = f"{min(rates):.2f} … {max(rates):.2f}" if rates else scientific(None)
            rows.append((m.name, test.line, uncertain(test.odd_part, test.uncertainty), span))
    columns = ("method", "along", "error by the odd part", "rates")
    return Table("Taylor test of every gradient", columns, rows, frozenset({0, 1, 3}))


PLOT = Plot("taylor", "Taylor remainders", absent, draw, describe, table)

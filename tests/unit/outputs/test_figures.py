"""Figures of steps and cost, and what is true of all figures."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from node_diag.outputs.figures import (
    PLOTS,
    cost,
    gradient_error,
    steps,
)
from node_diag.outputs.figures.image import png, svg
from node_diag.outputs.figures.style import looks
from node_diag.records import MissingReference, Trajectory
from tests.stubs import failed_method, method, stock_report
from tests.unit.outputs.drawn import draw, line, texts
from tests.unit.outputs.hostile import hostile_report


def test_trials_are_drawn_by_outcome(stock):
    figure = draw(steps.PLOT, stock)
    recorded = stock.series.steps
    for name, outcome in (("accepted", True), ("rejected", False)):
        kept = [i for i, accepted in enumerate(recorded.accepted) if accepted == outcome]
        assert line(figure, name) == ([recorded.t[i] for i in kept], [recorded.h[i] for i in kept])
    assert "accepted (128)" in texts(figure)
    assert "rejected (40)" in texts(figure)


def test_a_solve_backward_in_time_keeps_its_direction():
    report = stock_report()
    report.problem.t0, report.problem.t1 = 20.0, 0.0
    report.series.steps.h = [-h for h in report.series.steps.h]
    figure = draw(steps.PLOT, report)
    assert figure.axes[0].get_xlim() == (20.0, 0.0)
    assert min(line(figure, "accepted")[1]) > 0


def test_a_constant_step_has_an_axis():
    report = stock_report()
    report.series.steps.h = [0.1] * len(report.series.steps.h)
    low, high = draw(steps.PLOT, report).axes[0].get_ylim()
    assert low <= 0.1 < high


def test_very_many_steps_are_thinned_out_and_that_is_said():
    report = stock_report()
    n = 50_000
    report.series.steps.t = [i / n for i in range(n)]
    report.series.steps.h = [1 / n] * n
    report.series.steps.accepted = [True] * n
    figure = draw(steps.PLOT, report)
    assert len(line(figure, "accepted")[0]) == 2000
    assert "Every 25th trial" in texts(figure)
    assert len(svg(figure, "steps", "")) < 400_000
    table = steps.PLOT.table(report)
    assert len(table.rows) == 200
    assert table.note == "Every 250th of 50,000 rows; the CSV files have them all."


def test_bars_are_the_measured_numbers(stock):
    figure = draw(cost.PLOT, stock)
    for axes, (quantity, _) in zip(figure.axes, cost.PANELS, strict=True):
        ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
        measured = [stock.paper_cost[m.name][quantity].measured for m in stock.methods]
        # The left end of a logarithmic axis is taken off and put back: one rounding each.
        np.testing.assert_allclose(ends, measured, rtol=4 * np.finfo(float).eps)
        formulas = [stock.paper_cost[m.name][quantity].value for m in stock.methods]
        assert [each.get_xdata()[0] for each in axes.lines] == formulas


def test_a_method_without_a_formula_has_its_own_numbers():
    found = method("naive")
    found.name = "direct"
    (bar,) = cost.bars(stock_report(methods=[found], paper_cost={}), "evaluations")
    assert (bar.measured, bar.formula) == (1010 + 1009, None)
    draw(cost.PLOT, stock_report(methods=[found], paper_cost={}))


def test_methods_that_failed_have_no_bar():
    report = stock_report(methods=[method("aca"), failed_method("direct")])
    assert "Not measured: direct." in texts(draw(cost.PLOT, report))
    assert cost.PLOT.absent(stock_report(methods=[failed_method()])) != ""


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_hostile_names_are_drawn_as_they_are(plot):
    report = hostile_report()
    figure = draw(plot, report)
    assert png(figure, plot.describe(report)).startswith(b"\x89PNG")
    text = svg(figure, plot.name, plot.describe(report))
    assert "<script" not in text
    assert "<img" not in text
    assert len(text) < 200_000


def test_dollars_are_no_formula():
    text = svg(draw(gradient_error.PLOT, hostile_report()), "x", "")
    assert r"$\frac{x}{$ _a^{b}" in text


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_png_is_sharp_and_small(plot, stock):
    content = png(draw(plot, stock), "what it shows")
    width, height = struct.unpack(">II", content[16:24])
    assert width == int(7.2 * 144)
    assert 300 < height < 1200
    assert len(content) < 200_000
    assert b"what it shows" in content


def test_the_same_report_gives_the_same_bytes():
    first, second = (
        [svg(draw(plot, stock_report()), plot.name, "") for plot in PLOTS] for _ in range(2)
    )
    assert first == second


def test_a_users_matplotlibrc_changes_nothing(stock):
    import matplotlib as mpl

    plain = svg(draw(steps.PLOT, stock), "steps", "")
    with mpl.rc_context({"font.size": 40, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert svg(draw(steps.PLOT, stock), "steps", "") == plain


def test_colour_is_never_the_only_cue():
    found = looks(["adjoint", "aca", "naive", "direct", "mine", "yours"]).values()
    assert len({look.marker for look in found}) == len({str(look.dash) for look in found}) == 6
    assert len({look.colour for look in found}) == 6


def test_a_method_looks_the_same_in_every_report():
    assert looks(["naive", "mine"])["naive"] == looks(["aca", "adjoint", "naive"])["naive"]


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_description_is_a_sentence_with_numbers(plot, stock):
    text = plot.describe(stock)
    assert text.endswith(".")
    assert any(c.isdigit() for c in text)


def test_nothing_recorded_nothing_drawn():
    empty = Trajectory(t=[], z=[])
    report = stock_report(methods=[failed_method()], recommendation=None)
    report.series.forward, report.series.reconstruction = empty, {}
    report.references.discrete = MissingReference(reason="not finite")
    report.series.steps.t, report.series.steps.h, report.series.steps.accepted = [], [], []
    assert all(plot.absent(report) for plot in PLOTS)

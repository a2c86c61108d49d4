"""What is drawn is what the record says; what cannot be drawn is told."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from node_diag.outputs.figures import (
    PLOTS,
    cost,
    gradient_error,
    reconstruction_error,
    steps,
    trajectory,
)
from node_diag.outputs.figures.image import png, svg
from node_diag.outputs.figures.style import looks, sheet
from node_diag.records import MethodRecord, ParameterError, Report, Trajectory
from tests.stubs import failed_method, method, no_reference, references, stock_report
from tests.unit.outputs.hostile import hostile_report


def draw(plot, report: Report) -> Figure:
    assert plot.absent(report) == ""
    with sheet():
        return plot.draw(report)


def line(figure: Figure, name: str, panel: int = 0) -> tuple[list[float], list[float]]:
    """Data of the line that was drawn under this name."""
    (found,) = [each for each in figure.axes[panel].lines if each.get_label() == name]
    return list(found.get_xdata()), list(found.get_ydata())


def texts(figure: Figure) -> str:
    found = [t.get_text() for owner in (figure, *figure.axes) for t in owner.texts]
    found += [t.get_text() for ax in figure.axes for t in (*ax.get_yticklabels(), ax.title)]
    found += [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return "\n".join(found)


def errors_of(found: MethodRecord) -> dict[str, ParameterError]:
    assert found.errors is not None
    assert found.errors.continuous is not None
    return found.errors.continuous.by_parameter


def many_tensors(n: int) -> Report:
    report = stock_report(methods=[method("aca")])
    errors_of(report.methods[0]).update(
        {
            f"w{i}": ParameterError(relative_l2=10.0**-i, max_abs=1.0, uncertainty=0)
            for i in range(n)
        }
    )
    return report


def exploded(*values: float) -> Report:
    """The adjoint's last states replaced, backward from t0."""
    report = stock_report()
    curve = report.series.reconstruction["adjoint"]
    for i, value in enumerate(values, start=1):
        curve.z[-i], curve.error[-i] = [value, value], abs(value)
    return report


# gradient error


def test_errors_are_drawn_where_they_are(stock):
    figure = draw(gradient_error.PLOT, stock)
    drawn = [each for each in figure.axes[0].lines if not each.get_label().startswith("_")]
    assert [each.get_label() for each in drawn] == ["adjoint", "aca", "naive"]
    for each, found in zip(drawn, stock.methods, strict=True):
        expected = [e.relative_l2 for e in errors_of(found).values() if e.relative_l2]
        assert list(each.get_xdata()) == expected


def test_every_tensor_and_both_times_have_a_row(stock):
    figure = draw(gradient_error.PLOT, stock)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["z0", "mu", "t0", "t1"]


def test_the_band_is_the_uncertainty_of_the_truth(stock):
    axes = draw(gradient_error.PLOT, stock).axes[0]
    widths = [patch.get_x() + patch.get_width() for patch in axes.patches]
    truth = stock.references.continuous
    known = [truth.uncertainty_by_parameter[name] for name in ("z0", "mu", "t0", "t1")]
    sizes = [math.hypot(*truth.gradient.z0), truth.gradient.params["mu"][0]]
    sizes += [abs(truth.gradient.t0), abs(truth.gradient.t1)]
    expected = [u / size for u, size in zip(known, sizes, strict=True)]
    # The adjoint's error of 1e6 is divided out of its uncertainty: a few ulp remain.
    np.testing.assert_allclose(widths, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("value", "shown", "at_left"),
    [
        (0.0, "0", True),
        (math.nan, "nan", False),
        (math.inf, "inf", False),
        (None, "absolute", True),
    ],
)
def test_what_is_on_no_logarithmic_axis_is_said(value, shown, at_left):
    report = stock_report(methods=[method("aca")])
    errors_of(report.methods[0])["mu"].relative_l2 = value
    axes = draw(gradient_error.PLOT, report).axes[0]
    middle = math.sqrt(math.prod(axes.get_xlim()))
    (label,) = [t for t in axes.texts if shown in t.get_text() and round(t.get_position()[1]) == 1]
    assert (label.get_position()[0] < middle) == at_left


def test_of_many_tensors_the_worst_are_drawn():
    figure = draw(gradient_error.PLOT, many_tensors(50))
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == [*(f"w{i}" for i in range(4)), "z0", *labels[5:]]
    assert len(labels) == gradient_error.MOST + 2
    assert "The 20 largest errors; 32 more tensors are not shown." in texts(figure)
    assert len(gradient_error.PLOT.table(many_tensors(50)).rows) == 54


def test_one_tensor_is_enough():
    report = stock_report(methods=[method("aca")])
    by_tensor = errors_of(report.methods[0])
    for name in ("z0", "t0", "t1"):
        del by_tensor[name]
    assert len(draw(gradient_error.PLOT, report).axes[0].get_yticks()) == 1


def test_failed_methods_are_named_below():
    report = stock_report(methods=[method("aca"), failed_method("direct")])
    assert "No gradient to compare: direct." in texts(draw(gradient_error.PLOT, report))


def test_without_a_continuous_truth_the_discrete_one_is_used():
    report = stock_report()
    for found in report.methods:
        found.errors.continuous = None
    assert "against the discrete truth" in texts(draw(gradient_error.PLOT, report))


def test_without_any_truth_the_reason_is_given():
    truths = references()
    truths.continuous = truths.discrete = no_reference("too stiff")
    report = stock_report(references=truths)
    for found in report.methods:
        found.errors = None
    assert "too stiff" in gradient_error.PLOT.absent(report)
    assert gradient_error.PLOT.absent(stock_report(methods=[failed_method()])) == (
        "No method returned a gradient."
    )


# trajectory


def test_the_phase_plane_shows_both_curves(stock):
    figure = draw(trajectory.PLOT, stock)
    for name, curve in (
        ("forward", stock.series.forward),
        ("adjoint", stock.series.reconstruction["adjoint"]),
    ):
        assert line(figure, name) == ([z[0] for z in curve.z], [z[1] for z in curve.z])


def test_more_components_are_drawn_over_time(stock):
    report = stock_report()
    report.problem.n_state = 18
    report.series.components = [f"z[{i}]" for i in range(6)]
    for curve in (report.series.forward, report.series.reconstruction["adjoint"]):
        curve.z = [z * 3 for z in curve.z]
    figure = draw(trajectory.PLOT, report)
    assert len(figure.axes) == trajectory.MOST_COMPONENTS
    forward = report.series.forward
    assert line(figure, "forward", panel=3) == (forward.t, [z[3] for z in forward.z])
    assert figure.axes[0].get_xlim() == (0.0, 20.0)
    assert "The first 4 of 18 components." in texts(figure)


@pytest.mark.parametrize("values", [(5e6, -3e3), (math.inf, 5e6), (math.nan, math.inf, 1e300)])
def test_an_exploded_reconstruction_leaves_the_forward_one_in_sight(values):
    report = exploded(*values)
    figure = draw(trajectory.PLOT, report)
    for axis, i in ((figure.axes[0].xaxis, 0), (figure.axes[0].yaxis, 1)):
        own = [z[i] for z in report.series.forward.z]
        low, high = axis.get_view_interval()
        assert low <= min(own) < max(own) <= high
        # Half an extent of room on each side, and a margin of a twentieth of all that.
        assert high - low <= (1 + 2 * trajectory.ROOM) * 1.1 * (max(own) - min(own)) * (1 + 1e-12)
    assert "leaves the frame at t = " in texts(figure)
    assert "axes clipped" in texts(figure)


def test_a_reconstruction_that_stays_clips_nothing(stock):
    assert "clipped" not in texts(draw(trajectory.PLOT, stock))


def test_a_state_at_rest_has_a_frame():
    low, high = trajectory.frame([0.0, 0.0], [])
    assert low < 0 < high


def test_no_reconstruction_still_has_a_trajectory():
    report = stock_report()
    report.series.reconstruction = {}
    figure = draw(trajectory.PLOT, report)
    assert "Forward trajectory" in texts(figure)
    assert "No method reconstructs it." in trajectory.PLOT.describe(report)
    assert "stored" in reconstruction_error.PLOT.absent(report)


# reconstruction error


def test_the_error_is_drawn_over_time(stock):
    figure = draw(reconstruction_error.PLOT, stock)
    curve = stock.series.reconstruction["adjoint"]
    t, error = line(figure, "adjoint")
    assert t == curve.t
    assert math.isnan(error[0])  # exactly 0 at t1, where the solve starts
    assert error[1:] == curve.error[1:]
    assert figure.axes[0].get_yscale() == "log"


def test_errors_that_are_not_finite_are_told():
    report = exploded(math.nan, math.inf)
    figure = draw(reconstruction_error.PLOT, report)
    assert "adjoint stops being finite at t = 0.1." in texts(figure)
    assert all(map(math.isfinite, figure.axes[0].get_ylim()))


def test_an_error_of_zero_everywhere_is_said():
    report = stock_report()
    curve = report.series.reconstruction["adjoint"]
    curve.error = [0.0] * len(curve.t)
    assert reconstruction_error.PLOT.absent(report) == (
        "The states that adjoint reconstructed are exact to the last digit."
    )


def test_stored_states_are_named(stock):
    assert "Stored states, error 0 by construction: aca and naive." in texts(
        draw(reconstruction_error.PLOT, stock)
    )


# steps


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


# cost


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


# all of them


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
    report = stock_report(methods=[failed_method()])
    report.series.forward, report.series.reconstruction = empty, {}
    report.series.steps.t, report.series.steps.h, report.series.steps.accepted = [], [], []
    assert all(plot.absent(report) for plot in PLOTS)

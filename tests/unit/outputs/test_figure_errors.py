"""Figures of gradients and trajectories: what is drawn is what the record says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from node_diag.outputs.figures import (
    gradient_error,
    reconstruction_error,
    trajectory,
)
from tests.stubs import failed_method, method, no_reference, references, stock_report
from tests.unit.outputs.drawn import draw, errors_of, exploded, line, many_tensors, texts


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
        assert high - low <= 2 * 1.1 * (max(own) - min(own)) * (1 + 1e-12)
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


def test_a_method_that_failed_is_not_said_to_have_stored_its_states():
    report = stock_report(methods=[method("aca"), failed_method("adjoint")])
    report.series.reconstruction = {}
    for text in (trajectory.PLOT.describe(report), reconstruction_error.PLOT.absent(report)):
        assert "adjoint failed" in text
        assert "stored" not in text


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

"""What the diagrams of a sweep show, on points made by hand."""

import math

import numpy as np
import pytest

from node_diag.records.sweep import Sweep, SweepPoint
from node_diag.sweep import along, heat_map, printing, showing, work_precision
from node_diag.sweep.choosing import choices, everywhere
from node_diag.sweep.panels import panels


def swept(axes, errors, *, options=(), methods=("aca",), **more):
    """A sweep along one or two axes; ``errors`` by position, None: failed."""
    names = list(axes)
    places = [
        dict(zip(names, values, strict=True))
        for values in np.array(np.meshgrid(*axes.values(), indexing="ij"), dtype=object)
        .reshape(len(names), -1)
        .T
    ]
    points = [
        SweepPoint(at=at, method=method, status="failed", failure="it blew up")
        if error is None
        else SweepPoint(at=at, method=method, status="ok", error=error, uncertainty=1e-14,
                        nfe_forward=10 * (i + 1), nfe_backward=0, saved_bytes=8, **more)
        for method in methods
        for i, (at, error) in enumerate(zip(places, errors, strict=True))
    ]  # fmt: skip
    chosen = choices(points, axes, options, 1e-3)
    return Sweep(
        version="1", created="now", command="node-diag sweep", problem="p", spec="p", overrides={},
        options={}, axes={k: list(v) for k, v in axes.items()}, varied_options=list(options),
        methods={name: name for name in methods}, target_error=1e-3, points=points, choices=chosen,
        everywhere=everywhere(points, chosen, 1e-3) if len(chosen) > 1 else [],
    )  # fmt: skip


def lines(picture):
    """Of the first panel: the data of what is drawn with a marker."""
    axes = picture.figure.axes[0]
    return [line.get_xydata() for line in axes.lines if line.get_marker() not in ("None", "")]


def notes(picture):
    return " ".join(text.get_text() for text in picture.figure.texts)


def test_an_error_of_zero_is_drawn_at_its_uncertainty_and_never_called_failed():
    found = swept({"k": [-1, 0, 1], "rtol": [1e-3, 1e-4]}, [1e-2, 1e-3, 0.0, 0.0, 1e-2, 1e-3],
                  options=["rtol"])  # fmt: skip
    (heat,) = heat_map.pictures(found)
    texts = [text.get_text() for text in heat.figure.axes[0].texts]
    assert texts.count("0") == 2
    assert "×" not in texts
    assert found.choices[1].cheapest == 2
    (curve,) = along.pictures(found)
    assert lines(curve)[0][1].tolist() == [0.0, 1e-14]
    assert "An error of 0 is drawn where its uncertainty is" in notes(curve)
    assert "no point" not in notes(curve)


def test_a_line_has_a_gap_where_a_setting_failed():
    found = swept({"rtol": [1e-3, 1e-4, 1e-5]}, [1e-2, None, 1e-4], options=["rtol"])
    picture = work_precision.pictures(found)[0]
    (line,) = [line for line in lines(picture) if len(line) == 3]
    assert [math.isnan(y) for _, y in line] == [False, True, False]
    assert "A method that failed" in notes(picture)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"rtol": [1e-3, 1e-4], "adjoint_rtol": [1e-2, 1e-8]},
         [{"adjoint_rtol": 1e-2}, {"adjoint_rtol": 1e-8}]),
        ({"solver": ["rk4", "dopri5"], "atol": [1e-2, 1e-8]},
         [{"solver": "rk4", "atol": 1e-2}, {"solver": "dopri5", "atol": 1e-2},
          {"solver": "dopri5", "atol": 1e-8}]),
    ],
)  # fmt: skip
def test_a_panel_for_everything_that_lines_do_not_follow_but_not_for_what_is_not_read(
    axes, expected
):
    found = swept(axes, [1e-2] * 4, options=list(axes))
    assert panels(found, ["rtol"]) == expected


def test_an_argument_alone_gives_points_of_work_and_a_curve_of_error():
    found = swept({"mu": [1.0, 10.0, 1000.0]}, [1e-5, 1e-4, 1e-2])
    (curve,) = along.pictures(found)
    assert curve.name == "along_mu"
    assert lines(curve)[0].tolist() == [[1.0, 1e-5], [10.0, 1e-4], [1000.0, 1e-2]]
    assert curve.figure.axes[0].get_xscale() == "log"
    work = work_precision.pictures(found)[0]
    assert len(work.figure.axes) == 1
    assert work.figure.axes[0].lines[0].get_linestyle() == "None"


@pytest.mark.parametrize("values", [[1, 2], ["a", "b", "c"], [True, False]])
def test_no_curve_along_what_is_no_line(values):
    found = swept({"mode": values}, [1e-3] * len(values))
    assert along.pictures(found) == []


def test_no_curve_along_seeds_and_whole_numbers_have_whole_ticks():
    found = swept({"seed": [0, 1, 2], "n": [1, 2, 3]}, [1e-3] * 9, options=["seed"])
    (curve,) = along.pictures(found)
    assert curve.name == "along_n"
    curve.figure.canvas.draw()
    assert all(float(tick).is_integer() for tick in curve.figure.axes[0].get_xticks())


def test_times_are_shown_with_what_they_vary_by():
    found = swept({"rtol": [1e-3, 1e-4]}, [1e-2, 1e-3], options=["rtol"], forward_s=0.2,
                  backward_s=0.0, repeats=3, spread_s=0.1)  # fmt: skip
    picture = next(p for p in work_precision.pictures(found) if p.name.endswith("time"))
    (bar, _) = picture.figure.axes[0].collections
    np.testing.assert_allclose(bar.get_segments()[0], [[0.15, 1e-2], [0.25, 1e-2]], rtol=1e-12)
    assert picture.table.columns[-2:] == ("longest − shortest", "error ± uncertainty")
    assert picture.table.rows[0][-2] == "100 ms"


def test_what_to_use_is_said_for_every_problem():
    found = swept({"mu": [1, 2], "rtol": [1e-3, 1e-5]}, [5e-3, 5e-4, 8e-4, 1e-6],
                  options=["rtol"])  # fmt: skip
    table = showing.for_each(found)
    assert [row[:3] for row in table.rows] == [("aca", "1", "1e-5"), ("aca", "2", "1e-3")]
    sentence, command = showing.advice(found)
    # 20 evaluations at mu = 1, which is also the worst of both, and 40 at mu = 2.
    assert "at every mu: aca with rtol 1e-5, error 5.0e-04" in sentence
    assert "(at mu 1), in 60 evaluations of f together" in sentence
    assert command == "node-diag check p --set mu=1 --rtol 1e-5 --method aca"


def test_a_problem_on_which_nothing_is_enough_is_named():
    found = swept({"mu": [1, 2]}, [5e-3, 5e-4])
    assert "nothing reaches it at mu 1" in showing.for_each(found).caption
    assert showing.advice(found) == [
        "No setting has an error of 1e-03 or less for certain at every mu."
    ]


def test_where_nothing_is_enough_anywhere_the_best_there_is_is_shown():
    found = swept({"mu": [1, 2], "rtol": [1e-3, 1e-5]}, [5e-1, 5e-2, 8e-1, 6e-2], options=["rtol"])
    (sentence,) = showing.advice(found)
    assert sentence == (
        "No setting has an error of 1e-03 or less for certain at every mu; closest is aca with mu "
        "1, rtol 1e-5, error 5.0e-02 ± 1.0e-14 in 20 evaluations of f."
    )
    written = printing.markdown(found)
    assert "No other setting is both cheaper and more accurate at the same mu" in written
    assert written.count("\n| aca |") == 4


def test_reasons_of_failures_are_counted():
    found = swept({"rtol": [1e-3, 1e-4, 1e-5]}, [None, 1e-3, None], options=["rtol"])
    assert showing.failures(found, 3) == ["2 gradients, aca with rtol 1e-3 first: it blew up"]
    assert "3 gradients, 2 of them failed" in showing.summary(found)
    one = swept({"rtol": [1e-3]}, [1e-3], options=["rtol"])
    assert showing.summary(one) == "p: rtol (1) × 1 method, 1 gradient"


def test_a_method_is_not_said_to_take_a_tolerance_that_it_does_not_read():
    found = swept({"adjoint_rtol": [1e-3, 1e-5]}, [1e-4, 1e-5], options=["adjoint_rtol"],
                  methods=("aca", "adjoint"))  # fmt: skip
    rows = {row[0]: row[1] for row in showing.everything(found).rows}
    assert rows == {"aca": "–", "adjoint": "1e-5"}
    assert showing.command(found, found.points[0]) == "node-diag check p --method aca"

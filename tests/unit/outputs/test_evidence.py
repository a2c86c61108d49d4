"""Where errors arise, what growth predicts, and the cheapest setting: figures, words, commands."""

import math

from node_diag.outputs import recommendation
from node_diag.outputs.figures import convergence, error_origin, reconstruction_error
from node_diag.records import Candidate, MissingReference
from tests.stubs import stock_report
from tests.unit.outputs.drawn import draw, line


def test_the_prediction_is_drawn_up_to_a_lost_trajectory(stock):
    x, y = line(draw(reconstruction_error.PLOT, stock), "predicted")
    stability = stock.inspection.stability
    assert x == stability.t
    # The last one, at t1, is zero and has no place on a logarithmic axis.
    assert y[:-1] == [min(e, 1.0) for e in stability.predicted_error[:-1]]
    assert math.isnan(y[-1])


def test_shares_are_drawn_in_per_cent(stock):
    origin = stock.method("adjoint").error_origin
    x, y = line(draw(error_origin.PLOT, stock), "adjoint")
    assert x == origin.t
    assert y == [100 * s for s in origin.share]
    assert "adjoint" in error_origin.PLOT.describe(stock)


def test_every_setting_tried_is_a_point(stock):
    figure = draw(convergence.PLOT, stock)
    drawn = set()
    for solver in ("dopri5", "tsit5", "bosh3"):
        x, y = line(figure, solver)
        assert list(x) == sorted(x)
        drawn |= set(zip(x, y, strict=True))
    assert drawn == {(c.nfe, c.error) for c in stock.recommendation.candidates}


def test_the_command_runs_the_cheapest_setting(stock):
    best = stock.recommendation.candidates[stock.recommendation.best]
    assert best.met
    assert best.nfe == min(c.nfe for c in stock.recommendation.candidates if c.met)
    command = recommendation.rerun(stock)
    assert command.startswith("node-diag check vanderpol ")
    # The gate of its configuration is on aca, which is left out.
    assert command.endswith("--method direct --exit-zero")
    other = stock.model_copy(deep=True)
    other.recommendation.candidates.append(
        Candidate(solver="tsit5", rtol=2e-6, atol=1e-7, control="sensitivities", error=1e-5,
                  uncertainty=1e-9, nfe=9, met=True)
    )  # fmt: skip
    other.recommendation.best = len(other.recommendation.candidates) - 1
    words = recommendation.rerun(other).split()
    for flag, value in (
        ("--solver", "tsit5"), ("--rtol", "2e-6"), ("--atol", "1e-7"),
        ("--control", "sensitivities"),
    ):  # fmt: skip
        assert words[words.index(flag) + 1] == value
    assert "1.0e-05 ± 1.0e-09 in 9 evaluations" in recommendation.sentence(other)


def test_where_nothing_meets_the_target_that_is_said():
    report = stock_report()
    report.recommendation.best, report.recommendation.reason = None, "none of the 3 does"
    assert "none of the 3 does" in recommendation.sentence(report)
    assert recommendation.rerun(report) == ""


def test_without_a_truth_there_is_no_recommendation():
    report = stock_report(recommendation=None)
    report.references.continuous = MissingReference(reason="chaos")
    assert recommendation.sentence(report) == ""
    assert convergence.PLOT.absent(report) != ""

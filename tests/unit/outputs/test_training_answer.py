"""What is concluded from training with several methods, on records made by hand."""

import math

from node_diag.outputs.training import answer, failures, reached, table
from node_diag.records.training import Training, TrainingRun, TruthPoint


def run(method, seed, final, **more):
    """Three steps to a final loss."""
    fields = {"losses": [8.0, 4.0, 2.0], "nfe": [10, 20, 30], "seconds": [0.1, 0.2, 0.3]} | more
    return TrainingRun(method=method, seed=seed, final_loss=final, **fields)


def training(*runs):
    seeds = len({r.seed for r in runs})
    return Training(
        optimizer="adam", learning_rate=0.1, steps=3, perturb=0.1, seeds=seeds, runs=list(runs)
    )


def test_a_method_matters_if_its_losses_are_apart_from_the_best():
    apart = training(*[run("aca", s, 1 + 0.1 * s) for s in range(3)],
                     *[run("adjoint", s, 5 + s) for s in range(3)])  # fmt: skip
    assert answer(apart) == (
        "The gradient method matters here: adjoint ends at 6.0e+00, aca at 1.1e+00."
    )


def test_it_does_not_if_the_ranges_overlap_however_far_the_medians_are():
    overlapping = training(*[run("aca", s, x) for s, x in enumerate((1.0, 1.1, 5.0))],
                           *[run("adjoint", s, x) for s, x in enumerate((4.0, 6.0, 7.0))])  # fmt: skip
    assert "makes no difference that 3 starts show" in answer(overlapping)


def test_a_failed_run_matters_and_is_told():
    found = training(
        run("aca", 0, 1.0), run("adjoint", 0, None, status="failed", failure="step 2: underflow")
    )
    assert "adjoint failed in 1 of 1 runs" in answer(found)
    assert failures(found) == ["adjoint, start 0: step 2: underflow"]
    assert "every method failed" in answer(training(found.runs[1])).lower()


def test_a_nan_is_no_low_loss():
    found = training(run("aca", 0, 1.0), run("naive", 0, math.nan))
    assert "naive ends at inf" in answer(found)


def test_one_start_shows_no_spread():
    assert "more seeds" in answer(training(run("aca", 0, 1.0), run("adjoint", 0, 1.05)))


def test_what_a_loss_cost_is_counted_to_the_step_that_reached_it():
    # aca gets to 2.0 with its third loss, which two steps paid for; adjoint only to 4.0.
    found = training(
        run("aca", 0, 1.0, truth=[TruthPoint(step=0, cosine=0.5, relative_error=1, uncertainty=0)]),
        run("adjoint", 0, 3.0, losses=[8.0, 6.0, 4.0]),
    )
    assert reached(found) == 4.0
    rows = {row[0]: row for row in table(found).rows}
    assert rows["aca"][5] == "10"  # its second loss is 4.0
    assert rows["adjoint"][5] == "20"
    assert rows["aca"][4] == "0.500000"
    assert rows["adjoint"][4] == "–"

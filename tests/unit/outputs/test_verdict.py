"""The verdict in words."""

from __future__ import annotations

import math

import pytest

from node_diag.diagnosis.gates import evaluate, parse_max_grad_error
from node_diag.outputs.verdict import headline, method_word
from node_diag.records import ParameterError, Summary
from tests.stubs import (
    failed_method,
    findings,
    gate,
    method,
    no_reference,
    references,
    stock_report,
)


def good(**changes):
    """A report with nothing wrong in it, but for the changes."""
    fields = {
        "methods": [method("aca")],
        "findings": [],
        "gates": [],
        "summary": Summary(passed=0, failed=0, inconclusive=0, exit_code=0),
    }
    return stock_report(**(fields | changes))


def test_a_wrong_gradient_is_named(stock):
    found = headline(stock)
    assert found.verdict == "fail"
    assert found.title == "adjoint returns a wrong gradient; naive missed its limit"
    assert found.gates == "Of 3 gates, 2 failed."


def test_the_smallest_error_comes_first(stock):
    sentence = headline(stock).sentence
    assert sentence.index("aca") < sentence.index("naive") < sentence.index("adjoint")


def test_nothing_wrong():
    found = headline(good(gates=[gate("aca", "pass", "flag --gate")]))
    assert (found.verdict, found.title) == ("pass", "Nothing wrong was found")
    assert found.gates == "The gate passed."


def test_without_limits_nothing_is_judged():
    found = method("aca")
    found.verdict = "info"
    assert headline(good(methods=[found])).verdict == "info"


def test_an_error_counts_though_every_gate_passed():
    report = good(methods=[method("aca"), method("adjoint")], findings=findings()[:1])
    assert headline(report).verdict == "fail"


def test_a_large_error_is_named_though_no_limit_was_set():
    methods = [method("aca"), method("naive")]
    for found in methods:
        found.verdict = "info"
    title = headline(good(methods=methods)).title
    assert title == "naive is off by 1.8e-02"


def test_errors_beyond_all_bounds_are_told_apart_from_large_ones():
    methods = [method("adjoint"), method("naive")]
    for found in methods:
        found.verdict = "info"
    title = headline(good(methods=methods)).title
    assert title == "adjoint is wrong by 1.3e+06; naive is off by 1.8e-02"


def test_an_error_that_is_nan_is_named():
    found = method("aca")
    found.errors.continuous.relative_l2 = math.nan
    assert headline(good(methods=[found])).title == "aca is off by nan"


def test_a_warning_is_not_nothing():
    title = headline(good(findings=findings()[1:])).title
    assert title == "No error was found, but 1 warning"


def test_an_undecided_gate_is_no_pass():
    undecided = gate("aca", "inconclusive", "flag --gate")
    found = headline(good(gates=[undecided]))
    assert found.verdict == "inconclusive"
    assert found.gates == "Of 1 gate, 1 could not be decided."


def test_an_undecided_method_is_named():
    method_ = method("aca")
    method_.verdict = "inconclusive"
    title = headline(good(methods=[method_])).title
    assert title == "aca cannot be judged: the reference is not known well enough"


def test_a_failed_method_is_named():
    found = headline(good(methods=[method("aca"), failed_method("naive")]))
    assert (found.verdict, found.title) == ("fail", "naive failed")


def test_no_reference_no_verdict():
    truths = references()
    truths.continuous = truths.discrete = no_reference("the two solves disagree")
    method_ = method("aca")
    method_.errors, method_.verdict = None, "info"
    found = headline(good(methods=[method_], references=truths))
    assert found.title == "No verdict: there is no reference to compare with"
    assert "the two solves disagree" in found.sentence


def without_continuous(**changes):
    """A method that reproduces its accepted steps, where nobody knows the exact flow's gradient."""
    found = method("aca").model_copy(update={"verdict": "info", "constant_steps": True})
    assert found.errors is not None
    found.errors.continuous = None
    truths = references()
    truths.continuous = no_reference("f jumps when the state crosses a switch.")
    return good(methods=[found], references=truths, **changes)


def test_without_a_continuous_truth_nobody_is_right():
    report = without_continuous()
    found = headline(report)
    assert method_word(report.methods[0]) == "not judged"
    assert found.title.startswith("No verdict: there is no continuous truth")
    assert "against the discrete truth: aca" in found.sentence
    assert found.sentence.endswith("continuous one: f jumps when the state crosses a switch.")


def test_without_a_continuous_truth_a_gate_on_it_is_undecided():
    report = without_continuous()
    (undecided,) = evaluate(parse_max_grad_error("1e-3", "flag"), report.methods)
    report.gates, report.methods[0].verdict = [undecided], undecided.verdict
    report.summary.exit_code = 1
    found = headline(report)
    assert (found.word, method_word(report.methods[0])) == ("inconclusive", "inconclusive")
    assert found.title.startswith("No verdict: there is no continuous truth")


@pytest.mark.parametrize(
    ("constant_steps", "error", "word"),
    [(True, 0.2, "wrong"), (True, 0.05, "not judged"), (False, 0.2, "not judged"),
     (False, math.nan, "wrong")],
)  # fmt: skip
def test_the_discrete_truth_only_accuses_those_who_claim_it(constant_steps, error, word):
    (judged,) = without_continuous().methods
    judged.constant_steps = constant_steps
    judged.errors.discrete.relative_l2 = error
    assert method_word(judged) == word


def test_an_error_that_is_only_known_absolutely_says_so():
    method_ = method("aca")
    assert method_.errors is not None
    assert method_.errors.continuous is not None
    method_.errors.continuous.relative_l2 = None
    method_.errors.continuous.absolute_l2 = 3e-9
    method_.errors.continuous.uncertainty = 1e-9
    assert "aca 3.0e-09 ± 1.0e-09 abs" in headline(good(methods=[method_])).sentence


@pytest.mark.parametrize(
    ("relative", "word"),
    [(1e-2, "right"), (0.02, "off"), (0.1, "off"), (0.2, "wrong"), (float("nan"), "wrong")],
)
def test_without_limits_the_word_says_how_far_off(relative, word):
    judged = method("aca")
    judged.verdict = "info"
    judged.errors.continuous.relative_l2 = relative
    assert method_word(judged) == word


def test_a_tensor_that_is_wrong_though_the_whole_is_right_is_named():
    found = method("aca")
    found.verdict = "info"
    found.errors.continuous.by_parameter["mu"] = ParameterError(
        relative_l2=0.5, max_abs=1.0, absolute_l2=1.0, uncertainty=1e-9
    )
    assert method_word(found) == "off"
    assert headline(good(methods=[found])).title == "aca is off by 5.0e-01 in mu"


def test_a_method_is_called_the_same_in_the_table_and_in_the_headline():
    report = good(methods=[method("aca")], findings=findings()[:1])
    report.findings[0].method = "aca"
    report.methods[0].accused = True
    for verdict in ("info", "pass", "inconclusive"):
        report.methods[0].verdict = verdict
        assert method_word(report.methods[0]) == "wrong"
        assert headline(report).title == "aca returns a wrong gradient"

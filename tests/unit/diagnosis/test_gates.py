"""The verdict rule and the ways to write a limit."""

import math

import pytest

from node_diag.config import CheckConfig
from node_diag.diagnosis.gate_metrics import METRICS
from node_diag.diagnosis.gates import (
    GateSpec,
    evaluate,
    judge,
    parse_gate,
    parse_max_grad_error,
    target_error,
)
from node_diag.errors import UsageError
from node_diag.metric_names import DESCRIPTIONS
from node_diag.records import (
    ErrorRecord,
    Errors,
    GradientRecord,
    MethodRecord,
    ParameterError,
    TimesError,
)


def method(name="aca", relative=1e-4, uncertainty=1e-9, **changes):
    error = ErrorRecord(
        relative_l2=relative, uncertainty=uncertainty, absolute_l2=3e-4, max_abs=1e-4, cosine=1.0,
        norm_ratio=1.0, by_parameter={},
    )  # fmt: skip
    fields = {"name": name, "status": "ok", "errors": Errors(continuous=error, discrete=None)}
    return MethodRecord(**{**fields, **changes})


def test_every_metric_is_described():
    assert list(METRICS) == list(DESCRIPTIONS)


@pytest.mark.parametrize(
    ("value", "uncertainty", "limit", "verdict"),
    [
        (1e-4, 0.0, 1e-3, "pass"),
        (1e-3, 0.0, 1e-3, "pass"),
        (9e-4, 1e-4, 1e-3, "pass"),
        (9e-4, 2e-4, 1e-3, "inconclusive"),
        (1.1e-3, 2e-4, 1e-3, "inconclusive"),
        (2e-3, 1e-4, 1e-3, "fail"),
        (1e-12, 1e-10, 1e-11, "inconclusive"),  # below the noise, and so is the limit
        (math.nan, 0.0, 1e300, "inconclusive"),
        (0.0, math.nan, 1.0, "inconclusive"),
        (None, 0.0, 1.0, "inconclusive"),
        (math.inf, 1.0, 1e300, "fail"),
        (0.0, math.inf, 1.0, "inconclusive"),
    ],
)
def test_judge(value, uncertainty, limit, verdict):
    assert judge(value, uncertainty, limit) == verdict


def test_a_limit_for_all_methods_judges_each():
    spec = parse_max_grad_error("1e-3", "flag")
    gates = evaluate(spec, [method(), method("adjoint", 5.0)])
    assert [(g.method, g.verdict) for g in gates] == [("aca", "pass"), ("adjoint", "fail")]
    assert gates[1].reason
    assert gates[0].source == "flag"


def test_a_gate_that_matches_nothing_does_not_pass():
    (gate,) = evaluate(parse_max_grad_error("naive=1", "flag"), [method()])
    assert gate.verdict == "inconclusive"
    assert "naive was not run" in gate.reason


def test_a_failed_method_fails_its_gate():
    failed = method(status="failed", failure="step underflow", errors=None)
    (gate,) = evaluate(GateSpec("aca", "grad_error", 1.0, "flag"), [failed])
    assert gate.verdict == "fail"
    assert "step underflow" in gate.reason


def test_a_missing_reference_is_inconclusive():
    (gate,) = evaluate(GateSpec("aca", "grad_error_discrete", 1.0, "flag"), [method()])
    assert gate.verdict == "inconclusive"
    assert gate.reason == (
        "there is no grad_error_discrete: its reference is missing; aca.grad_error has a value"
    )


def test_zero_truth_is_judged_absolutely():
    (gate,) = evaluate(GateSpec("aca", "grad_error", 1e-3, "f"), [method(relative=None)])
    assert gate.value == 3e-4
    assert gate.verdict == "pass"


def test_parsing():
    assert parse_gate("aca.grad_error<=1e-3", "x") == GateSpec("aca", "grad_error", 1e-3, "x")
    assert parse_gate(" * . ".replace(" ", "") + "saved_bytes <= 10", "x").method == "*"
    assert parse_max_grad_error("aca=0.5", "x") == GateSpec("aca", "grad_error", 0.5, "x")


@pytest.mark.parametrize("text", ["aca.grad_error<1", "grad_error<=1", "aca.grad_error<=x", "", "acca.grad_error<=1", "aca.gr<=1", "aca.grad_error<=-1", "aca.grad_error<=inf"])  # fmt: skip
def test_bad_gates_are_refused(text):
    with pytest.raises(UsageError):
        parse_gate(text, "x")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rtol": 1e-6}, 1e-4),
        ({"rtol": 1e-2}, 1e-2),  # beyond that a gradient is called off
        ({"max_grad_error": ["1e-6", "aca=1e-3"]}, 1e-6),
        ({"gates": ["aca.grad_error<=1e-7", "aca.grad_error_discrete<=1e-9"]}, 1e-7),
        ({"max_grad_error": ["0.5"]}, 1e-3),  # no looser than without it
        ({"max_grad_error": ["0"]}, 1e-3),  # which nothing meets
        ({"max_grad_error": ["1e-6"], "target_error": 1e-2}, 1e-2),
    ],
)
def test_the_target_of_the_recommendation(options, expected):
    assert target_error(CheckConfig(**options)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("metric", ["grad_error", "grad_error_discrete"])
def test_a_time_that_is_not_finite_keeps_the_gradient_from_passing(bad, metric):
    right = method()
    right.errors.discrete = right.errors.continuous
    right.gradient = GradientRecord(z0=[1.0], t0=0.0, t1=0.0, ts=[0.0, bad, 0.0], params={})
    (gate,) = evaluate(GateSpec("aca", metric, 1e300, "flag"), [right])
    assert gate.verdict == "inconclusive"
    assert "its derivative in ts[1] is not finite" in gate.reason


def test_a_gate_on_the_times():
    found = method()
    spec = GateSpec("aca", "times_error", 1e-3, "flag")
    assert evaluate(spec, [found])[0].verdict == "inconclusive"  # no truth knows them
    found.errors.continuous.times = TimesError(
        relative_l2=1e-4, max_abs=1.0, uncertainty=1e-9, absolute_l2=1.0, worst="t1"
    )
    assert evaluate(spec, [found])[0].verdict == "pass"
    found.errors.continuous.times.relative_l2 = 2e-3
    assert evaluate(spec, [found])[0].verdict == "fail"


@pytest.mark.parametrize(
    ("part", "verdict"),
    [
        ({"relative_l2": 1e-4, "uncertainty": 1e-9}, "pass"),
        ({"relative_l2": 0.5, "uncertainty": 1e-9}, "fail"),
        ({"relative_l2": 1e-4, "uncertainty": 0.1}, "inconclusive"),
        ({"relative_l2": math.nan, "uncertainty": 1e-9}, "inconclusive"),
        # A zero gradient is judged beside the whole, of size 3: 3e-5 is 1e-5 of that, 0.3 is 0.1.
        ({"relative_l2": None, "uncertainty": 1e-9, "absolute_l2": 3e-5}, "pass"),
        ({"relative_l2": None, "uncertainty": 1e-9, "absolute_l2": 0.3}, "fail"),
    ],
)
def test_a_gate_on_the_worst_tensor(part, verdict):
    found = method()
    right = ParameterError(relative_l2=1e-5, max_abs=0.0, uncertainty=1e-9)
    found.errors.continuous.by_parameter = {
        "w": right, "b": ParameterError(max_abs=0.0, **part), "t0": ParameterError(relative_l2=9, max_abs=9),
    }  # fmt: skip
    (gate,) = evaluate(GateSpec("aca", "worst_tensor_error", 1e-3, "flag"), [found])
    assert gate.verdict == verdict

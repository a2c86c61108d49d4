"""A check held against an earlier one: what is a regression, and what cannot be told."""

import math

import pytest

from node_diag.diagnosis.baseline import compare, differences, unknown
from node_diag.diagnosis.regression import judge_error, judge_time
from node_diag.records import Report
from tests.stubs import failed_method, stock_report


def changed(base: Report, new: Report, **options):
    """Changes that are not 'same' and no times, by what they are about."""
    found = compare(base, new, baseline="base.json", **options)
    return {
        f"{c.method}.{c.metric}" if c.method else c.metric: c
        for c in found.changes
        if c.verdict not in ("same", "info")
    }


def fresh() -> Report:
    """A report that a test may change: the stock ones share their methods."""
    return stock_report().model_copy(deep=True)


def test_a_report_is_no_regression_of_itself():
    found = compare(fresh(), fresh(), baseline="base.json")
    assert found.failed == 0
    assert {change.verdict for change in found.changes} <= {"same", "info"}
    compared = {change.metric for change in found.changes if change.method == "aca"}
    assert {"grad_error", "grad_error_discrete", "reconstruction_error", "nfe_forward"} <= compared
    assert {"nfe_backward", "n_steps_backward", "saved_bytes", "peak_bytes"} <= compared
    assert {"graph_depth", "status", "time_s", "grad_error gate"} <= compared
    assert {c.metric for c in found.changes if c.method is None} == {"n_accepted", "n_rejected"}


COUNTS = [
    "nfe_forward",
    "nfe_backward",
    "n_steps_backward",
    "saved_bytes",
    "peak_bytes",
    "graph_depth",
]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(("by", "verdict"), [(1, "worse"), (-1, "better")])
def test_one_more_of_a_count_fails_and_one_less_is_told(name, by, verdict):
    base, new = fresh(), fresh()
    cost = new.method("aca").cost
    setattr(cost, name, getattr(cost, name) + by)
    found = changed(base, new)
    assert list(found) == [f"aca.{name}"]
    change = found[f"aca.{name}"]
    assert (change.verdict, change.fails) == (verdict, by > 0)
    assert change.new - change.base == by


@pytest.mark.parametrize("name", ["n_accepted", "n_rejected"])
def test_one_more_step_fails(name):
    new = fresh()
    setattr(new.solution, name, getattr(new.solution, name) + 1)
    assert changed(fresh(), new)[name].fails


def test_what_is_missing_fails_and_what_is_new_does_not():
    whole, part = fresh(), fresh()
    part.methods = [m for m in part.methods if m.name != "naive"]
    part.gates = [g for g in part.gates if g.method != "naive"]
    gone = changed(whole, part)
    assert {name: c.verdict for name, c in gone.items()} == {
        "naive.status": "missing",
        "naive.grad_error gate": "missing",
    }
    assert all(c.fails for c in gone.values())
    (added,) = changed(part, whole).values()
    assert (added.verdict, added.fails) == ("new", False)


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_number_that_is_none_any_more_fails(value):
    base, new = fresh(), fresh()
    if value is None:
        new.method("aca").errors.continuous = None
    else:
        new.method("aca").errors.continuous.relative_l2 = value
    gone, back = changed(base, new), changed(new, base)
    assert "grad_error" in {change.metric for change in gone.values()}
    assert {(change.verdict, change.fails) for change in gone.values()} == {("missing", True)}
    assert {(change.verdict, change.fails) for change in back.values()} == {("new", False)}


def test_an_error_that_became_absolute_is_not_compared_with_a_relative_one():
    new = fresh()
    new.method("aca").errors.continuous.relative_l2 = None
    new.method("aca").errors.continuous.absolute_l2 = 0.0
    assert changed(fresh(), new)["aca.grad_error"].verdict == "missing"


def test_a_method_that_fails_now_fails_and_one_that_works_now_is_better():
    base, new = fresh(), fresh()
    new.methods[0] = failed_method(new.methods[0].name)
    name = new.methods[0].name
    worse = changed(base, new)[f"{name}.status"]
    assert (worse.verdict, worse.fails) == ("worse", True)
    assert "underflow" in worse.reason
    better = changed(new, base)[f"{name}.status"]
    assert (better.verdict, better.fails) == ("better", False)


@pytest.mark.parametrize(
    ("verdict", "fails"), [("fail", True), ("inconclusive", True), ("pass", False)]
)
def test_a_gate_that_passed_has_to_pass(verdict, fails):
    base, new = fresh(), fresh()
    (gate,) = (g for g in new.gates if g.method == "aca")
    assert gate.verdict == "pass"
    gate.verdict, gate.limit = verdict, 1e-9  # another limit is still the same gate
    assert any(c.fails for c in changed(base, new).values()) is fails


def test_a_renamed_or_changed_problem_fails():
    new = fresh()
    new.problem.name, new.problem.n_params = "another", 7
    assert {n for n, c in changed(fresh(), new).items() if c.fails} == {"problem", "parameters"}
    assert unknown("base", "another").failed == 0


@pytest.mark.parametrize(
    ("base", "new", "verdict"),
    [
        ((1e-4, 1e-9), (1e-4, 1e-9), "same"),
        ((1e-4, 1e-9), (2e-4, 1e-9), "worse"),
        ((2e-4, 1e-9), (1e-4, 1e-9), "better"),
        # Rounding on another machine moves an error by less than the slack of 1 %.
        ((1e-4, 1e-12), (1.005e-4, 1e-12), "same"),
        ((1e-4, 1e-12), (1.02e-4, 1e-12), "worse"),
        # Apart by less than both uncertainties: not known to be worse.
        ((1e-4, 6e-5), (2e-4, 6e-5), "same"),
        ((1e-4, 4e-5), (2e-4, 4e-5), "worse"),
        # Both zero within an uncertainty that is the same: noise, however much it grew.
        ((1e-13, 1e-10), (9e-11, 1e-10), "same"),
        # More than ten times larger, and within the uncertainties.
        ((1e-6, 1e-5), (1.5e-5, 1e-5), "inconclusive"),
        # The reference got so bad that anything may hide below it.
        ((1e-4, 1e-9), (1e-4, 1e-1), "inconclusive"),
        ((0.0, 0.0), (0.0, 0.0), "same"),
        ((0.0, 0.0), (1e-300, 0.0), "worse"),
        ((1e-4, 1e-9), (math.inf, 1e-9), "worse"),
        ((math.inf, 0.0), (math.inf, 0.0), "same"),
        ((1e-4, 1e-9), (1e-4, math.nan), "inconclusive"),
    ],
)
def test_errors_are_judged_with_their_uncertainties(base, new, verdict):
    assert judge_error(*base, *new).verdict == verdict


@pytest.mark.parametrize(
    ("now", "verdict"), [(2.7, "worse"), (2.5, None), (0.6, "better"), (0.7, None)]
)
def test_distances_of_states_may_double(now, verdict):
    base, new = fresh(), fresh()
    assert base.method("adjoint").reconstruction.max_error == 1.31
    new.method("adjoint").reconstruction.max_error = now
    found = changed(base, new)
    assert (found["adjoint.reconstruction_error"].verdict if found else None) == verdict


@pytest.mark.parametrize(
    ("times", "limit", "verdict"),
    [
        ((1.0, 0.1, 9.0, 0.1), None, "info"),
        ((1.0, 0.1, 1.9, 0.1), 2.0, "info"),
        ((1.0, 0.1, 3.0, 0.1), 2.0, "worse"),
        # (2.1 − 0.1) / (1 + 0.1) is below the limit of 2.
        ((1.0, 0.2, 2.1, 0.2), 2.0, "inconclusive"),
        # Single runs have no spread, so nothing is known for sure.
        ((1.0, math.inf, 9.0, math.inf), 2.0, "inconclusive"),
        ((0.0, 0.1, 9.0, 0.1), 2.0, "info"),
    ],
)
def test_times_fail_only_against_a_limit(times, limit, verdict):
    assert judge_time(*times, limit).verdict == verdict


def test_settings_that_differ_are_named():
    base, other = fresh().config, fresh().config
    assert differences(base, other, base.overrides) == []
    other.rtol, other.solver = 1e-6, "tsit5"
    assert differences(base, other, {"mu": 2.0, "T": 5.0}) == [
        "solver dopri5 there, tsit5 here",
        "rtol 1e-5 there, 1e-6 here",
        "--set T 20.0 there, 5.0 here",
    ]
    # What is no setting of the numbers: where reports go, how often is timed, which gates.
    other = base.model_copy(update={"report": [], "repeat": 9, "gates": [], "sources": {}})
    assert differences(base, other, base.overrides) == []


def test_other_versions_are_told_and_do_not_fail():
    new = fresh()
    new.environment.torch = "9.9"
    found = compare(fresh(), new, baseline="b", notes=["rtol differs"])
    assert found.notes == ["rtol differs", "torch 2.13.0 there, 9.9 here"]
    assert found.failed == 0


def test_the_comparison_is_part_of_the_record():
    new = fresh()
    new.comparison = compare(fresh(), new, baseline="b")
    assert Report.model_validate_json(new.to_json()).comparison == new.comparison

"""Commands that findings advise do what they say, whatever the configuration holds."""

import math

import pytest

from node_diag.diagnosis.again import command, show
from node_diag.diagnosis.remedy import storing
from node_diag.outputs.page import advice
from tests.stubs import stock_report


@pytest.mark.parametrize(
    ("changes", "sources", "options", "expected"),
    [
        ({}, {}, {}, "node-diag check vanderpol"),
        ({"rtol": 1e-6, "atol": 1e-6}, {}, {}, "node-diag check vanderpol --rtol 1e-6"),
        # Without --rtol the file's 1e-6 would be read again.
        (
            {"rtol": 1e-6, "atol": 1e-6}, {"rtol": "pyproject.toml: rtol"}, {"rtol": 1e-5},
            "node-diag check vanderpol --rtol 1e-5",
        ),
        (
            {"rtol": 1e-6, "atol": 1e-6}, {"rtol": "flag --rtol"}, {"rtol": 1e-5},
            "node-diag check vanderpol",
        ),
        (
            {"adjoint_rtol": 1e-2}, {}, {"method": "adjoint"},
            "node-diag check vanderpol --adjoint-rtol 0.01 --method adjoint",
        ),
        # What the run was given, it keeps.
        (
            {"max_steps": 500, "order": 2, "reference": "fd", "device": "cuda", "max_step": 0.1},
            {}, {"dtype": "float32"},
            "node-diag check vanderpol --max-step 0.1 --max-steps 500 --reference fd --order 2 "
            "--dtype float32 --device cuda",
        ),
        (
            {"methods": ["aca", "own/mine.py:half"], "target_error": 1e-4}, {},
            {"control": "sensitivities"},
            "node-diag check vanderpol --control sensitivities --target-error 1e-4 "
            "--method aca,own/mine.py:half",
        ),
        (
            {"methods": ["aca", "own/mine.py:half"]}, {}, {"method": "direct,half"},
            "node-diag check vanderpol --method direct,own/mine.py:half",
        ),
        # A gate of the configuration may be on a method that the command leaves out.
        (
            {"gates": ["naive.grad_error<=0.001"]},
            {"max_grad_error": "pyproject.toml: max_grad_error"}, {"method": "aca"},
            "node-diag check vanderpol --method aca --exit-zero",
        ),
        (
            {"gates": ["aca.graph_depth<=9", "*.grad_error<=1"]}, {"gates": "pyproject.toml: gates"},
            {"method": "aca"}, "node-diag check vanderpol --method aca",
        ),
        (
            {}, {"methods": "environment NODE_DIAG_METHODS"}, {},
            "node-diag check vanderpol --method adjoint,aca,naive",
        ),
    ],
)  # fmt: skip
def test_the_command_is_what_has_to_be_typed(changes, sources, options, expected):
    report = stock_report()
    usual = {"rtol": 1e-5, "atol": 1e-5, "adjoint_rtol": 1e-5, "adjoint_atol": 1e-5}
    follow = {"adjoint_rtol": changes.get("rtol", 1e-5), "adjoint_atol": changes.get("atol", 1e-5)}
    report.config = report.config.model_copy(
        update={
            **usual, **follow, **changes, "sources": sources, "problem": "vanderpol", "overrides": {},
        }
    )  # fmt: skip
    assert command(report, **options) == expected


def of_a_program():
    report = stock_report()
    report.problem = report.problem.model_copy(update={"source": ""})
    report.config = report.config.model_copy(
        update={"rtol": 1e-5, "atol": 1e-5, "methods": ["aca", "own/mine.py:half"]}
    )
    return report


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "direct,half"}, "methods=['direct', 'own/mine.py:half'])"),
        ({"rtol": 1.234567e-6}, "(…, rtol=1.23e-6)"),
        # What is as it was is in the dots.
        ({"control": "sensitivities", "solver": "dopri5"}, "(…, control='sensitivities')"),
        ({"report": ["html"]}, 'node_diag.check(…).write("report")'),
    ],
)
def test_what_a_program_made_is_checked_by_a_call(options, expected):
    call = command(of_a_program(), **options)
    assert call.startswith("node_diag.check(…")
    assert call.endswith(expected)


def test_what_is_to_be_tried_is_told_apart_from_the_words():
    live = of_a_program()
    finding = live.findings[0].model_copy(update={"advice": f"look at it: {show(live)}"})
    assert advice(finding) == ("look at it:", "print(func)")
    finding = finding.model_copy(update={"advice": f"smaller: {command(live, rtol=1e-9)}"})
    assert advice(finding) == ("smaller:", "node_diag.check(…, rtol=1e-9)")
    finding = finding.model_copy(update={"advice": f"smaller: {command(stock_report())}"})
    assert advice(finding)[1].startswith("node-diag check ")
    assert advice(finding.model_copy(update={"advice": "do"})) == ("do", "")


def test_whatever_is_finite_is_better_than_nan():
    report = stock_report()
    adjoint, aca = report.method("adjoint"), report.method("aca")
    assert storing(report, adjoint, math.nan)[1] == {"method": "aca"}
    aca.errors.continuous.relative_l2 = 1.4  # but not if it is more than all of the gradient
    # Neither is what is advised then: it was not seen to be any better.
    assert storing(report, adjoint, math.nan)[0] != "train with a method that stores the trajectory"


def test_a_librarys_own_way_is_not_advised_where_it_was_seen_to_be_bad():
    report = stock_report()
    mine = report.method("adjoint").model_copy(update={"name": "torchode-backsolve"})
    report.methods = [mine, report.method("aca")]
    assert storing(report, mine, math.nan)[1] == {"method": "torchode"}  # not run so far
    bad = report.method("aca").model_copy(update={"name": "torchode"}, deep=True)
    bad.errors.continuous.relative_l2 = 1.4
    report.methods.append(bad)
    assert storing(report, mine, math.nan)[1] == {"method": "aca"}

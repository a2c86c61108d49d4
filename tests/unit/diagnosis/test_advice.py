"""Commands that findings advise do what they say, whatever the configuration holds."""

import pytest

from node_diag.diagnosis.rule import command
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

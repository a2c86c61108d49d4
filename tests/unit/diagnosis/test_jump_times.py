"""Which jumps of f are named."""

import pytest

from node_diag.diagnosis.rule import diagnose
from node_diag.records import Switch
from tests.stubs import stock_report


@pytest.mark.parametrize(
    ("times", "crossings", "said"),
    [
        ([1.0], 1, "at t = 1 ("),
        ([1.0, 1.7], 2, "at t = 1, 1.7 ("),
        ([1.0, 1.7], 12, "at t = 1, 1.7, … (12 times) ("),
    ],
)
def test_every_jump_is_named_or_counted(times, crossings, said):
    report = stock_report()
    report.inspection.switches = [
        Switch(
            operation="where", crossings=crossings, times=times, jump=0.5, in_state=False,
            by_parameter="", moved_at=None,
        )
    ]  # fmt: skip
    (finding,) = [f for f in diagnose(report) if f.code == "ND404"]
    assert said in finding.message

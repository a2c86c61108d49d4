"""Shares of an error that others cancel are not said to be more than all of it."""

import pytest

from node_diag.diagnosis.rule import diagnose
from tests.stubs import stock_report


@pytest.mark.parametrize(
    ("most", "said"), [(0.97, "97% of its error"), (1.09, "adjoint: all of its error")]
)
def test_no_more_than_all(most, said):
    report = stock_report()
    report.method("adjoint").error_origin.most = most
    (finding,) = [f for f in diagnose(report) if f.code == "ND210"]
    assert said in finding.message
    assert "109" not in finding.message
    assert finding.evidence["share"] == most

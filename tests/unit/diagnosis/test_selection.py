"""Which findings are looked for."""

import pytest

from node_diag.config_sources import resolve
from node_diag.diagnosis.rule import diagnose, is_wanted
from node_diag.errors import UsageError
from tests.stubs import stock_report


@pytest.mark.parametrize(
    ("select", "ignore", "wanted"),
    [
        ([], [], True),
        (["ND2"], [], True),
        (["ND1"], [], False),
        ([], ["ND2"], False),
        ([], ["ND1"], True),
        (["ND202"], ["ND2"], True),  # the longer one decides
        (["ND2"], ["ND202"], False),
        (["ND202"], ["ND202"], False),
    ],
)
def test_the_longer_prefix_decides(select, ignore, wanted):
    assert is_wanted("ND202", select, ignore) is wanted


def test_findings_are_left_out_where_they_are_made():
    report = stock_report().model_copy(deep=True)
    codes = {finding.code for finding in diagnose(report)}
    assert {"ND101", "ND202"} <= codes
    report.config.ignore = ["ND2"]
    assert {finding.code for finding in diagnose(report)} == {
        c for c in codes if c < "ND2" or c > "ND3"
    }
    report.config.ignore, report.config.select = [], ["ND101"]
    assert {finding.code for finding in diagnose(report)} == {"ND101"}


def test_codes_are_checked_and_may_be_short():
    config = resolve({"ignore": ["nd2,ND101"], "select": "ND1"}, {}, None).config
    assert (config.ignore, config.select) == (["ND2", "ND101"], ["ND1"])
    with pytest.raises(UsageError, match="unknown finding 'NDD101'; did you mean 'ND101"):
        resolve({"ignore": ["NDD101"]}, {}, None)
    assert resolve({}, {"NODE_DIAG_IGNORE": "ND1,ND2"}, None).config.ignore == ["ND1", "ND2"]

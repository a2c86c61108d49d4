"""The stock reports that tests of outputs share."""

from __future__ import annotations

import pytest

from node_diag.records import Report
from tests.stubs import stock_report


@pytest.fixture(scope="session")
def stock() -> Report:
    """``check vanderpol``; tests that change a report make their own."""
    return stock_report()

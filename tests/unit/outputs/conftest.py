"""The stock reports that tests of outputs share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# tests.stubs is imported by its full name, however pytest was started.
sys.path.insert(0, str(Path(__file__).parents[3]))

from node_diag.records import Report
from tests.stubs import stock_report


@pytest.fixture(scope="session")
def stock() -> Report:
    """``check vanderpol``; tests that change a report make their own."""
    return stock_report()

"""pytest plugin: a marker for tests of gradients, and what they measured at the end of a run.

Loaded by pytest in every run, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from node_diag import testing

KEY = "node-diag"
"""Of the user properties of a test; they travel from xdist's workers with its report."""
MARKER = "gradients: checks gradients with node-diag (leave them out with -m 'not gradients')"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """While a test and its fixtures run, keep what their assertions measure."""

    def keep(measured: testing.Measured) -> None:
        item.user_properties.append((KEY, measured))

    testing.watchers.append(keep)
    try:
        return (yield)
    finally:
        testing.watchers.remove(keep)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for every gradient that was measured."""
    rows: list[tuple[str, testing.Measured]] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":  # the last one, which has them all
                measured = [value for key, value in report.user_properties if key == KEY]
                rows += [(report.nodeid, one) for one in measured]
    if not rows:
        return
    terminalreporter.section("gradients (node-diag)")
    for nodeid, one in sorted(rows, key=lambda row: row[0]):
        terminalreporter.write_line(
            f"{one['verdict']:<12} {one['error']} (limit {one['limit']})  {one['method']} on "
            f"{one['problem']}  {nodeid}"
        )

"""The report on a terminal, at every width and in a pipe."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from rich.console import Console

from node_diag.outputs.console import fitting
from node_diag.outputs.method_table import ALWAYS, COLUMNS
from node_diag.outputs.numbers import count, duration, size, uncertain
from node_diag.outputs.terminal import method_table, print_report
from node_diag.records import Report
from tests.stubs import failed_method, method, stock_report
from tests.unit.outputs import hostile

WIDTHS = (40, 60, 80, 100, 120, 200)


def printed(report: Report, width: int, **options) -> str:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, highlight=False, **options))
    return stream.getvalue()


def words(text: str) -> str:
    """Without the line breaks that the width made."""
    return " ".join(text.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_are_either_whole_or_named_as_left_out(stock, width):
    text = printed(stock, width)
    left_out = words(text).partition("Not shown at this width:")[2].partition(".")[0]
    shown = COLUMNS[: fitting(method_table(stock.methods), width, ALWAYS)]
    (headings,) = [each for each in text.splitlines() if each.startswith("method ")]
    for column in COLUMNS:
        present = column in shown
        assert (column.heading in headings) == present
        assert (column.heading in left_out) != present
        for found in stock.methods:
            assert not present or column.cell(found) in text


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_longer_than_the_terminal(stock, width):
    lines = printed(stock, width).splitlines()
    commands = [line for line in lines if line.startswith("  node-diag ")]
    assert commands  # which are never broken, so that they can be copied
    assert max(len(line) for line in lines if line not in commands) <= width


@pytest.mark.parametrize("width", [1, 10, 30])
def test_where_even_the_numbers_do_not_fit_they_are_not_cut(stock, width):
    text = printed(stock, width)
    for found in stock.methods:
        error = found.errors.continuous
        assert uncertain(error.relative_l2, error.uncertainty) in text
    assert "…" not in text


def test_columns_go_in_a_fixed_order(stock):
    table = method_table(stock.methods)
    lost = [list(table.columns[fitting(table, w, ALWAYS) :]) for w in range(120, 20, -1)]
    assert lost[0] == []
    assert lost[-1] == [
        "vs discrete truth",
        "state error",
        "nfe fwd + bwd",
        "saved",
        "time",
    ]
    assert all(len(after) >= len(before) for before, after in itertools.pairwise(lost))


def test_everything_is_there_at_full_width(stock):
    text = printed(stock, 120)
    costs = [found.cost for found in stock.methods]
    assert all(size(cost.saved_bytes) in text for cost in costs)
    assert all(duration(cost.forward_s + cost.backward_s) in text for cost in costs)
    assert all(f"{count(cost.nfe_forward)} + {count(cost.nfe_backward)}" in text for cost in costs)
    assert "dopri5" in text
    assert "rtol 1e-05 atol 1e-05" in text
    assert "128 steps + 40 rejected" in text
    assert all(f.code in text and f.message in words(text) for f in stock.findings)
    assert all(f.advice in words(text) for f in stock.findings)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_gates_name_numbers_verdict_and_source(stock, width):
    text = words(printed(stock, width))
    assert re.search(
        r"aca\.grad_error 2\.4e-04 ± \S+ <= 1e-03 pass \(from --max-grad-error\)", text
    )
    assert "<= 1e-03 FAIL (from pyproject.toml: gates)" in text


def test_an_undecided_gate_says_why():
    report = stock_report()
    report.gates[0].verdict, report.gates[0].reason = "inconclusive", "the limit is too close"
    assert "inconclusive (from --max-grad-error)\n  the limit is too close" in printed(report, 120)


def test_a_failed_method_says_why():
    report = stock_report(methods=[method("aca"), failed_method(why="step underflow at t = 13.2")])
    text = printed(report, 80)
    assert re.search(r"direct +failed +–", text)
    assert "direct failed: step underflow at t = 13.2" in text


def test_a_pipe_gets_no_escapes(stock):
    assert "\x1b" not in printed(stock, 80)


def test_colours_come_with_words(stock):
    coloured = printed(stock, 120, force_terminal=True, color_system="standard")
    assert "\x1b[1;31mFAIL" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == printed(stock, 120)


@pytest.mark.parametrize("width", [60, 120])
def test_hostile_texts_are_inert(width):
    report = hostile.hostile_report()
    coloured = printed(report, width, force_terminal=True, color_system="standard")
    sequences = set(re.findall(r"\x1b.{0,4}", coloured))
    assert all(re.match(r"\x1b\[[\d;]+m?", found) for found in sequences)
    assert "]8;" not in coloured
    text = printed(report, width)
    # As a method's name it is cut; as code and message of findings it is not.
    assert words(text).count("[bold red]loud[/bold red]") > len(report.findings)
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_line_has_no_trailing_blanks_outside_the_table(stock):
    lines = printed(stock, 60).splitlines()
    prose = [line for line in lines if not re.match(r"(method|adjoint|aca|naive) ", line)]
    assert [line for line in prose if line != line.rstrip()] == []

"""report.md: what GitHub shows of it."""

from __future__ import annotations

import re

from node_diag.outputs.formats.md import OUTPUT, code, escaped
from node_diag.records import Report
from tests.stubs import failed_method, method, stock_report
from tests.unit.outputs import hostile


def text_of(report: Report) -> str:
    return OUTPUT.render(report)["report.md"].decode()


def test_it_starts_with_the_verdict(stock):
    first, _, bold, *_ = text_of(stock).splitlines()
    assert first == "### node-diag `vanderpol`: FAIL"
    assert bold == "**adjoint returns a wrong gradient; naive missed its limit**"


def test_the_table_has_a_row_per_method(stock):
    rows = [line for line in text_of(stock).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(stock.methods)
    assert len({row.count("|") for row in rows}) == 1
    assert rows[3].startswith("| aca | pass | 2.4e-04 ± ")


def test_findings_gates_and_command_are_there(stock):
    text = text_of(stock)
    assert "- **error ND101** " in text
    assert "`node-diag check vanderpol --rtol 1e-05 --method aca`" in text
    assert "- FAIL: naive.grad\\_error 1.8e-02" in text
    assert f"`{stock.command}`" in text


def test_without_gates_there_is_no_heading_for_them():
    assert "Gates" not in text_of(stock_report(gates=[]))


def test_a_failed_method_says_why():
    report = stock_report(methods=[method("aca"), failed_method(why="NaN at t = 3")])
    assert "direct failed: NaN at t = 3" in text_of(report)


def test_markup_is_escaped():
    assert escaped("<b> a|b `c` *d* [x](y) \\ _e_ $f$ &amp;") == (
        r"\<b\> a\|b \`c\` \*d\* \[x\](y) \\ \_e\_ \$f\$ \&amp;"
    )


def test_nobody_is_mentioned_and_nothing_linked():
    assert escaped("@someone #12 https://a.b www.c.d") == (
        "@<!-- -->someone #<!-- -->12 https://<!-- -->a.b www.<!-- -->c.d"
    )


def test_code_holds_any_backquotes():
    assert code("a`b") == "``a`b``"
    assert code("`a``") == "``` `a`` ```"
    assert code("plain") == "`plain`"


def test_hostile_texts_are_inert():
    text = text_of(hostile.hostile_report())
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    ours = ("<!-- -->", "<details>", "<summary>", "</summary>", "</details>")
    for tag in ours:
        outside = outside.replace(tag, "")
    assert re.findall(r"(?<!\\)[<>]", outside) == []
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1

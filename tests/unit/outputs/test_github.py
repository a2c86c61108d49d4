"""Workflow commands: one line each, whatever the texts hold."""

from node_diag.diagnosis.baseline import compare
from node_diag.outputs import github
from tests.stubs import stock_report
from tests.unit.outputs import hostile


def test_findings_gates_and_the_verdict_each_have_a_line(stock):
    lines = github.annotate(stock)
    gates = [g for g in stock.gates if g.verdict != "pass"]
    assert len(lines) == len(gates) + len(stock.findings) + 1
    assert [line.split(" ")[0] for line in lines] == [
        "::error",
        "::error",
        "::error",
        "::warning",
        "::notice",
    ]
    assert lines[0].startswith(
        "::error title=node-diag vanderpol%3A gate FAIL::naive.grad_error 1.8e-02 ± "
    )


def test_properties_and_messages_are_escaped():
    # The characters that https://docs.github.com's toolkit escapes in data, and in properties.
    line = github.trouble("a,b:c%\r\n", "50 % of x: a, b\nnext")
    assert line == "::error title=node-diag a%2Cb%3Ac%25  ::50 %25 of x: a, b next"


def test_a_file_is_named_so_that_the_line_stands_beside_it(stock):
    report = stock.model_copy(deep=True)
    report.config.problem = "models/my,ode.py:make"
    assert all("file=models/my%2Code.py,title=" in line for line in github.annotate(report))


def test_hostile_texts_cannot_start_a_command_of_their_own():
    report = hostile.hostile_report()
    report.findings[0].message = "x\n::set-output name=a::b\r\n::error::y"
    lines = github.annotate(report)
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in lines)
    assert not any("\n" in line or "\r" in line or "\x1b" in line for line in lines)
    # Two colons pairs only: what comes before the message has none of its own.
    assert all(":" not in line[2:].split("::")[0] for line in lines)


def test_what_got_worse_is_an_error_and_what_got_better_a_notice():
    base, new = stock_report().model_copy(deep=True), stock_report().model_copy(deep=True)
    new.method("aca").cost.nfe_backward += 1
    new.method("aca").cost.saved_bytes -= 1
    lines = github.compared("p", compare(base, new, baseline="b"))
    assert [line.split("::")[1].split(" ")[0] for line in lines] == ["error", "notice"]
    assert "worse than the baseline" in lines[0]

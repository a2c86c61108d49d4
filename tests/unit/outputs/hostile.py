"""Texts that try to break out of every format, and a report that is full of them."""

from __future__ import annotations

from node_diag.records import Finding, Gate, Report
from tests.stubs import failed_method, method, stock_report

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
MATH = r"$\frac{x}{$ _a^{b}"
MARKUP = "[bold red]loud[/bold red] [/] [link=file:///etc/passwd]x[/link]"
MARKDOWN = "a|b `c` *d* @someone #1 https://example.org ![i](x) <b>"
ESCAPE = "\x1b[31mred\x07\x00\x9b2J"
ORDER = "\u202eevil\u2066"
ARABIC = "\u0645\u0631\u062d\u0628\u0627"
TEMPLATE = "{{7*7}} {% for x in y %} ${7*7}"
EMOJI = "\U0001f525\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1ed"
LONG = "x" * 10_000
LINES = "first\nsecond\r\nthird\u2028fourth"
FORMULA = "=HYPERLINK(1)"
SUM = "@SUM(1)"
TEXTS = (
    SUM,
    SCRIPT,
    IMAGE,
    MATH,
    MARKUP,
    MARKDOWN,
    ESCAPE,
    ORDER,
    ARABIC,
    TEMPLATE,
    EMOJI,
    LONG,
    LINES,
    FORMULA,
    "_x",
)
EVERYTHING = " ".join(TEXTS)


def hostile_report() -> Report:
    """Every text as the name of a parameter, and one or another everywhere else."""
    report = stock_report(
        methods=[method("aca"), method("adjoint"), failed_method(MARKUP, EVERYTHING)],
        findings=[
            Finding(
                code=MARKUP,
                severity="error",
                method=SCRIPT,
                message=text,
                evidence={text: [text]},
                advice=text,
            )
            for text in TEXTS
        ],
        gates=[
            Gate(
                expression=f"{text}.m<=1",
                method=text,
                metric="m",
                value=None,
                uncertainty=None,
                limit=1.0,
                verdict="inconclusive",
                source=text,
                reason=text,
            )
            for text in TEXTS
        ],
        command=f"node-diag check {IMAGE}",
    )
    report.problem.name = ORDER + SCRIPT + TEMPLATE + ESCAPE + EMOJI + LINES + LONG
    report.problem.description = IMAGE + MATH
    report.problem.source = EVERYTHING
    report.config.solver = MARKUP + ESCAPE
    report.series.components = [MATH, SCRIPT + LONG]
    for found in report.methods:
        if found.errors and found.errors.continuous and found.gradient:
            first = found.errors.continuous.by_parameter["mu"]
            found.errors.continuous.by_parameter |= dict.fromkeys(TEXTS, first)
            found.gradient.params |= {text: [1.0] for text in TEXTS}
    report.methods[0].name = IMAGE
    report.methods[0].description = SCRIPT + ESCAPE
    return report

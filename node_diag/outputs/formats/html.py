"""The whole report as one page that needs no network and no JavaScript (report.html)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from node_diag.outputs import comparing, page, recommendation, training
from node_diag.outputs.drawing import Kind, drawings
from node_diag.outputs.figures import image
from node_diag.outputs.foreign import plain, shorten
from node_diag.outputs.glossary import TERMS
from node_diag.outputs.method_table import COLUMNS
from node_diag.outputs.second_order import sentences
from node_diag.outputs.verdict import WORDS, headline, method_word
from node_diag.records import Report

_TEMPLATES = Path(__file__).parent.parent / "templates"
_NAME_WIDTH = 80
_NUMBER = re.compile(r"-?\d[\d.]*e[-+]\d+( ± -?\d[\d.]*e[-+]\d+)?")


class Html:
    """A page: verdict first, then what to do, then the evidence."""

    pictures: Kind = "svg"

    def render(self, report: Report) -> dict[str, bytes]:
        """report.html."""
        text = environment().get_template("report.html").render(_context(report))
        return {"report.html": text.encode()}

    def warm(self) -> None:
        """What takes long the first time."""
        environment().get_template("report.html")
        image.warm()


@cache
def environment() -> Environment:
    """Everything is escaped; what is not a template's own text is made inert before that."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"short": _short, "whole": _whole, "tokens": _tokens}
    return made


def _inert(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _whole(text: str) -> Markup:
    """Escaped text in which no line breaks within a number: browsers break after ``e-``."""
    return Markup(_NUMBER.sub(r'<span class="whole">\g<0></span>', str(escape(plain(text)))))


def _tokens(command: str) -> Markup:
    """A command that breaks between its words only: browsers break after ``--``."""
    words = (f'<span class="token">{escape(word)}</span>' for word in plain(command).split(" "))
    return Markup(" ".join(words))


def _short(value: str) -> str:
    return shorten(value, _NAME_WIDTH)


def _context(report: Report) -> dict[str, Any]:
    figures = {
        name: {
            "title": drawing.title,
            "absent": drawing.absent,
            "description": drawing.description,
            "table": drawing.table,
            "svg": drawing.svg,
        }
        for name, drawing in drawings(report, [OUTPUT.pictures]).items()
    }
    return {
        "report": report,
        "headline": headline(report),
        "second_order": sentences(report),
        "recommended": recommendation.sentence(report),
        "recommended_command": recommendation.rerun(report),
        "comparing": comparing,
        "training": training,
        "columns": COLUMNS,
        "method_word": method_word,
        "words": WORDS,
        "page": page,
        "figures": figures,
        "glossary": TERMS,
    }


OUTPUT = Html()

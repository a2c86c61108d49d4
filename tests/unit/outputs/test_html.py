"""The page: valid, self-contained, accessible, inert."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest

from node_diag.outputs.figures import PLOTS
from node_diag.outputs.formats.html import OUTPUT
from node_diag.outputs.glossary import TERMS
from node_diag.outputs.verdict import headline
from node_diag.records import Report
from tests.stubs import failed_method, method, no_reference, references, stock_report
from tests.unit.outputs import hostile

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Element:
    """A node of the page: what is in it, as far as the tests ask."""

    def __init__(self, tag: str, attributes: dict[str, str | None], parent: Element | None) -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.inside: list[Element | str] = []

    @property
    def children(self) -> list[Element]:
        return [each for each in self.inside if isinstance(each, Element)]

    def find(self, tag: str) -> list[Element]:
        return [each for each in self.everything() if each.tag == tag]

    def everything(self) -> list[Element]:
        return [self, *(each for child in self.children for each in child.everything())]

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.inside)


class Tree(HTMLParser):
    """Parses strictly: every element that is opened is closed, in the right order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("document", {}, None)
        self.feed(text)
        self.close()
        assert self.here is self.root

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        element = Element(tag, dict(attrs), self.here)
        self.here.inside.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        self.here.inside.append(Element(tag, dict(attrs), self.here))

    def handle_endtag(self, tag):
        assert tag == self.here.tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.inside.append(data)


def page(report: Report) -> str:
    (content,) = OUTPUT.render(report).values()
    return content.decode()


def without_references() -> Report:
    truths = references()
    truths.continuous = truths.discrete = truths.unfrozen = no_reference("too stiff to tell")
    found = method("aca")
    found.errors = None
    return stock_report(references=truths, methods=[found], findings=[], gates=[], paper_cost={})


REPORTS = {
    "stock": stock_report,
    "failed": lambda: stock_report(methods=[failed_method(), method("aca")]),
    "all failed": lambda: stock_report(methods=[failed_method()]),
    "no references": without_references,
    "hostile": hostile.hostile_report,
}


@pytest.fixture(params=REPORTS.values(), ids=REPORTS, scope="module")
def text(request):
    return page(request.param())


@pytest.fixture(scope="module")
def tree(text):
    return Tree(text).root


def test_it_is_small(text):
    assert len(text.encode()) < 2_000_000


def test_there_is_no_script_and_nothing_runs(tree):
    assert tree.find("script") == []
    for element in tree.everything():
        assert not any(name.startswith("on") for name in element.attributes)


def test_nothing_is_fetched(tree, text):
    for element in tree.everything():
        assert element.tag not in {"link", "img", "iframe", "object", "image", "base"}
        for name, value in element.attributes.items():
            if name in {"href", "xlink:href", "src"}:
                assert value is not None
                assert value.startswith("#")
    (style,) = tree.find("style")
    assert not re.search(r"@import|url\(", style.text)
    bare = re.sub(r'xmlns(:\w+)?="http://www\.w3\.org/[\w/]+"', "", text)
    shown = re.sub(r"https://example\.org", "", bare)  # what a hostile name spells out
    assert "http" not in shown


def test_links_and_labels_lead_somewhere(tree):
    ids = [e.attributes["id"] for e in tree.everything() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in tree.everything():
        for name in ("href", "xlink:href"):
            if name in element.attributes:
                assert element.attributes[name][1:] in ids
        if "aria-labelledby" in element.attributes:
            assert element.attributes["aria-labelledby"] in ids
        for reference in re.findall(r"url\(#([^)]+)\)", str(element.attributes)):
            assert reference in ids


def test_headings_leave_out_no_level(tree):
    levels = [int(e.tag[1]) for e in tree.everything() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_document_says_its_language_and_title(tree):
    (html,) = tree.find("html")
    assert html.attributes["lang"] == "en"
    (title,) = tree.find("title")
    assert title.text.strip()
    assert len(tree.find("main")) == 1


def test_every_figure_is_described(tree):
    for svg in tree.find("svg"):
        assert svg.attributes["role"] == "img"
        assert len(svg.attributes["aria-label"]) > 20
    for figure in tree.find("figure"):
        assert len(figure.find("figcaption")) == 1
        assert len(figure.find("svg")) == 1
        assert len(figure.find("table")) == 1, "the numbers of the figure"


def test_every_table_has_a_caption_and_scoped_headings(tree):
    tables = tree.find("table")
    assert tables
    for table in tables:
        (caption,) = table.find("caption")
        assert caption.text.strip()
        headings = table.find("th")
        assert headings
        assert {th.attributes["scope"] for th in headings} <= {"col", "row"}
        width = len(table.find("thead")[0].find("th"))
        for row in table.find("tbody")[0].find("tr"):
            assert len(row.find("th") + row.find("td")) == width


def test_what_scrolls_can_be_reached_by_keyboard(tree):
    regions = [e for e in tree.everything() if e.attributes.get("class") == "scroll"]
    for region in regions:
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["role"] == "region"
        assert region.attributes["aria-label"]
    assert len(regions) == len(tree.find("table")) + len(tree.find("svg"))


def test_hostile_texts_are_only_text():
    tree = Tree(page(hostile.hostile_report())).root
    (body,) = tree.find("body")
    assert body.find("img") == body.find("h4") == []
    assert hostile.SCRIPT in body.text
    assert hostile.MATH in body.text
    assert hostile.TEMPLATE in body.text
    assert hostile.ARABIC in body.text
    assert "\x00" not in body.text
    for tag in ("p", "dt", "dd", "th", "td"):
        assert any(hostile.TEMPLATE in each.text for each in body.find(tag)), tag
    assert "\x1b" not in body.text
    assert "\u202e" not in body.text
    assert not re.search("x{1000}", body.find("table")[0].text)


def test_no_template_switches_escaping_off():
    from node_diag.outputs.formats.html import _TEMPLATES

    for path in _TEMPLATES.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape\s+false", path.read_text(encoding="utf-8"))


def test_the_order_is_verdict_methods_what_to_do_evidence(stock):
    tree = Tree(page(stock)).root
    assert [s.attributes["id"] for s in tree.find("main")[0].find("section")] == [
        "methods",
        "findings",
        "recommendation",
        "error",
        "trajectory",
        "steps",
        "cost",
        "references",
        "gates",
        "rerun",
        "glossary",
    ]
    (h1,) = tree.find("h1")
    assert " ".join(h1.text.split()) == f"FAIL {headline(stock).title}"


def test_every_figure_is_there(stock):
    tree = Tree(page(stock)).root
    assert len(tree.find("svg")) == len(PLOTS)


def test_figures_take_the_colours_of_the_page(stock):
    drawn = "".join(re.findall(r"<svg.*?</svg>", page(stock), flags=re.S))
    fixed = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", drawn)
    assert re.findall(r"(?:fill|stroke): #\w+", fixed) == []
    used = set(re.findall(r"var\((--[\w-]+)", drawn))
    (style,) = Tree(page(stock)).root.find("style")
    light, _, dark = style.text.partition("prefers-color-scheme: dark")
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark.partition("}")[0]


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours ``#rrggbb``."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_stands_out_from_its_ground(stock, is_dark):
    (style,) = Tree(page(stock)).root.find("style")
    light, _, dark = style.text.partition("prefers-color-scheme: dark")
    theme = (dark if is_dark else light).partition("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
    for ground in ("paper", "surface"):
        for ink in ("ink", "muted", "link", "good", "bad", "unsure"):
            # 4.5 is what WCAG 2 asks of text at level AA.
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ink in ("ink", "muted"):
        assert contrast(colours[ink], colours["band"]) >= 4.5


def test_the_unfrozen_differences_are_called_no_truth(stock):
    (section,) = [
        s for s in Tree(page(stock)).root.find("section") if s.attributes["id"] == "references"
    ]
    *truths, unfrozen = section.find("article")
    assert [t.find("h3")[0].text for t in truths] == ["Continuous truth", "Discrete truth"]
    assert "not a truth" in unfrozen.find("h3")[0].text
    assert "1.8e-02 (relative)" in unfrozen.text


def test_a_missing_reference_says_why():
    text = Tree(page(without_references())).root.text
    assert text.count("There is none: too stiff to tell") == 3


def test_a_failed_method_says_why():
    report = stock_report(methods=[method("aca"), failed_method(why="step underflow at t = 13.2")])
    assert "step underflow at t = 13.2" in Tree(page(report)).root.text


def test_evidence_does_not_say_the_message_again():
    report = stock_report()
    finding = report.findings[0]
    finding.message, finding.evidence = "adjoint: it broke at 3", {"failure": "it broke", "t": 3}
    article = Tree(page(report)).root.find("article")[0]
    assert [dt.text for dt in article.find("dt")] == ["t"]


def test_the_command_configuration_and_glossary_are_there(stock):
    text = " ".join(Tree(page(stock)).root.text.split())
    assert stock.command in text
    assert "flag --rtol" in text
    assert all(meaning in text for meaning in TERMS.values())


def test_no_number_is_broken_at_its_exponent(stock):
    (lead,) = [p for p in Tree(page(stock)).root.find("p") if p.attributes.get("class") == "lead"]
    whole = [span.text for span in lead.find("span") if span.attributes["class"] == "whole"]
    assert [number.split(" ± ")[0] for number in whole] == ["2.4e-04", "1.8e-02", "1.3e+06"]

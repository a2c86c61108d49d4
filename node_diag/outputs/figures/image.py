"""From a figure to bytes: a PNG that stands alone, or an SVG that takes the page's colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from node_diag.outputs.figures.canvas import TITLE, TITLE_ID
from node_diag.outputs.figures.style import BAND, INK, MUTED, PAPER, RULE, SERIES_COLOURS, sheet

_DPI = 144
_POINTS_PER_INCH = 72
_ABOVE = 4
"""Points above the legend that stay, so that no browser cuts its letters off."""
_COLOURS = {INK: "ink", MUTED: "muted", RULE: "rule", BAND: "band", PAPER: "paper"} | {
    colour: f"series-{i + 1}" for i, colour in enumerate(SERIES_COLOURS)
}
"""Colour in the figure → CSS variable of the page."""


def png(figure: Figure, description: str) -> bytes:
    """The figure as a PNG at 144 dpi on white; the description goes into its metadata."""
    buffer = io.BytesIO()
    with sheet(), _any_glyph():
        figure.set_dpi(_DPI)
        # Level 3 takes half the time of the usual 6 for a tenth more bytes.
        FigureCanvasAgg(figure).print_png(
            buffer,
            metadata={"Software": None, "Description": description},
            pil_kwargs={"compress_level": 3},
        )
    return buffer.getvalue()


def svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an ``<svg>`` element to put into a page.

    The title is left out, since the page has a heading. Colours become CSS variables with the
    colour as fallback, and every id begins with ``name``, which must be unique on the page.
    """
    buffer = io.StringIO()
    with sheet(), _any_glyph(), _without_title(figure):
        figure.set_dpi(_POINTS_PER_INCH)
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    text = buffer.getvalue()
    return Markup(_themed(_unique(_opened(text[text.index("<svg") :], description), name)))


def warm() -> None:
    """Draw a small figure both ways: fonts, scales and legends are looked up the first time."""
    with sheet():
        figure = Figure()
        axes = figure.subplots()
        axes.semilogy([1, 2], [1, 10], marker="o", label="α")
        axes.legend()
    png(figure, "")
    svg(figure, "", "")


@contextmanager
def _any_glyph() -> Generator[None]:
    """No warning for a character that the font lacks: it is drawn as a box."""
    with warnings.catch_warnings():
        for start in ("Glyph", "Matplotlib currently does not support"):
            warnings.filterwarnings("ignore", message=start, category=UserWarning)
        # Ticks of a logarithmic axis on which a gradient of 1e278 is drawn.
        warnings.filterwarnings("ignore", message="overflow", category=RuntimeWarning)
        yield


@contextmanager
def _without_title(figure: Figure) -> Generator[None]:
    hidden = [figure.patch, *(text for text in figure.texts if text.get_gid() == TITLE_ID)]
    for artist in hidden:
        artist.set_visible(False)
    yield
    for artist in hidden:
        artist.set_visible(True)


def _opened(text: str, description: str) -> str:
    """The element with a label, sized by its viewBox alone, which the title's strip is cut off."""
    match = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    if match is None:
        raise ValueError("the SVG has no viewBox")
    top, width, height = TITLE * _POINTS_PER_INCH - _ABOVE, float(match[1]), float(match[2])
    # The style element would apply to the whole page, so the page's own CSS has it instead.
    body = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>", "", text[text.index(">") + 1 :], flags=re.S
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 {top:g} {width:g} {height - top:g}" role="img" '
        f'aria-label="{escape(description)}">{body.strip()}'
    )


def _unique(text: str, name: str) -> str:
    text = re.sub(r'(\sid=")', rf"\1{name}-", text)
    return re.sub(r'(url\(#|href="#)', rf"\1{name}-", text)


def _themed(text: str) -> str:
    """CSS variables for colours, the page's font for matplotlib's."""
    for colour, variable in _COLOURS.items():
        text = text.replace(f": {colour}", f": var(--{variable}, {colour})")
    return re.sub(r"font-family: [^;\"]+;", "font-family: inherit;", text)

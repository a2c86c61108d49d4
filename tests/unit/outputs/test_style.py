"""The style of all figures: legible at half size, and told apart by everybody."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from node_diag.outputs.figures import PLOTS
from node_diag.outputs.figures.style import SERIES_COLOURS, looks, sheet
from node_diag.outputs.formats.html import _TEMPLATES
from tests.stubs import failed_method, method, stock_report
from tests.unit.outputs.drawn import exploded, many_tensors
from tests.unit.outputs.hostile import hostile_report

DEFICIENCIES = {
    "none": np.eye(3),
    # Machado, Oliveira and Fernandes (2009), table 1, severity 1.0; for linear RGB.
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = TO_XYZ.sum(axis=1)


def linear(colour: str) -> np.ndarray:
    """``#rrggbb`` (sRGB) as linear RGB."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB under D65."""
    x, y, z = (
        np.cbrt(t) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29
        for t in TO_XYZ @ rgb / WHITE
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def theme(is_dark: bool) -> dict[str, str]:
    """Colours of the page by name."""
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    light, _, dark = style.partition("prefers-color-scheme: dark")
    return dict(re.findall(r"--([\w-]+): (#\w{6})", (dark if is_dark else light).partition("}")[0]))


def series(colours: dict[str, str]) -> list[str]:
    return [colours[f"series-{i + 1}"] for i in range(len(SERIES_COLOURS))]


def test_black_and_white_are_a_hundred_apart():
    """The formulas above: L* runs from 0 to 100, greys have neither a* nor b*."""
    np.testing.assert_allclose(lab(linear("#000000")), [0, 0, 0], atol=1e-12)
    # The matrix has seven digits; f' is 1/3 at white, times 500.
    np.testing.assert_allclose(lab(linear("#ffffff")), [100, 0, 0], atol=500 / 3 * 1e-7)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_series_are_told_apart_by_the_colour_blind(is_dark, deficiency):
    """A distance of 2.3 is just noticeable between large patches side by side (Mahy et al. 1994).

    Thin lines that do not touch need several times that: Okabe and Ito's palette, made for this,
    has 16 at the least by these formulas; as far apart as those ours have to be.
    """
    seen = [
        lab(np.clip(DEFICIENCIES[deficiency] @ linear(colour), 0, 1))
        for colour in series(theme(is_dark))
    ]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest >= 16


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_series_stand_out_from_the_page(is_dark):
    """WCAG 2.1 asks a contrast of 3 of graphical objects."""
    colours = theme(is_dark)

    def luminance(colour: str) -> float:
        return float(TO_XYZ[1] @ linear(colour))

    for colour in series(colours):
        low, high = sorted((luminance(colour), luminance(colours["paper"])))
        assert (high + 0.05) / (low + 0.05) >= 3, colour


def test_the_page_and_the_pngs_have_the_same_colours():
    assert tuple(series(theme(is_dark=False))) == SERIES_COLOURS


def test_lines_and_markers_differ_as_well():
    found = looks(["adjoint", "aca", "naive", "direct", "mine", "yours"]).values()
    for one, other in itertools.combinations(found, 2):
        assert one.dash != other.dash
        assert one.marker != other.marker


REPORTS = {
    "stock": stock_report,
    "failed": lambda: stock_report(methods=[method("aca"), failed_method()]),
    "exploded": lambda: exploded(5e6, -3e3),
    "many tensors": lambda: many_tensors(50),
    "hostile": hostile_report,
}


@pytest.mark.filterwarnings("ignore:Glyph", "ignore:Matplotlib currently does not support")
@pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS)
def test_every_text_is_legible_at_half_size_and_inside(make):
    """At half its width, in a column of a paper, no text is below 5 pt, Nature's least; all of it
    is on the figure, to half a pixel."""
    report = make()
    for plot in PLOTS:
        if plot.absent(report):
            continue
        with sheet():
            figure = plot.draw(report)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            off_axis = {
                id(tick.label1)
                for axes in figure.axes
                for axis in (axes.xaxis, axes.yaxis)
                for tick in axis.get_major_ticks()
                if not min(axis.get_view_interval())
                <= tick.get_loc()
                <= max(axis.get_view_interval())
            }
            texts = [
                t
                for t in figure.findobj(Text)
                if t.get_text().strip() and t.get_visible() and id(t) not in off_axis
            ]
            assert len(texts) > 3
            for text in texts:
                box = text.get_window_extent(canvas.get_renderer())
                assert text.get_fontsize() / 2 >= 5, text
                assert box.x0 >= -0.5, (plot.name, text)
                assert box.y0 >= -0.5, (plot.name, text)
                assert box.x1 <= figure.bbox.width + 0.5, (plot.name, text)
                assert box.y1 <= figure.bbox.height + 0.5, (plot.name, text)

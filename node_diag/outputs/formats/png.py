"""Every figure as a picture at 144 dpi (figures/*.png)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node_diag.outputs.drawing import drawings
from node_diag.outputs.figures import image
from node_diag.outputs.figures.style import sheet
from node_diag.records import Report

PARTS = 3


class Png:
    """One file per figure that has something to show."""

    def render(self, report: Report) -> dict[str, bytes]:
        """Each with its description in the metadata."""
        return {path: content for part in range(PARTS) for path, content in some(report, part)}

    def parts(self, report: Report) -> list[Callable[[], dict[str, bytes]]]:
        """The same in parts that may be drawn at the same time."""
        return [lambda part=part: dict(some(report, part)) for part in range(PARTS)]


def some(report: Report, part: int) -> Iterable[tuple[str, bytes]]:
    """Every so many figures."""
    with sheet():
        for name, drawing in list(drawings(report).items())[part::PARTS]:
            if drawing.figure:
                yield f"figures/{name}.png", image.png(drawing.figure, drawing.description)


OUTPUT = Png()

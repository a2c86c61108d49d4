"""Every figure as a picture at 144 dpi (figures/*.png)."""

from __future__ import annotations

from node_diag.outputs.drawing import drawings
from node_diag.outputs.figures import image
from node_diag.records import Report


class Png:
    """One file per figure that has something to show."""

    def render(self, report: Report) -> dict[str, bytes]:
        """Each with its description in the metadata."""
        return {
            f"figures/{name}.png": image.png(drawing.figure, drawing.description)
            for name, drawing in drawings(report).items()
            if drawing.figure
        }


OUTPUT = Png()

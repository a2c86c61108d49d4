"""Every figure as a picture at 144 dpi (figures/*.png)."""

from __future__ import annotations

from node_diag.outputs.drawing import Kind, drawings
from node_diag.records import Report


class Png:
    """One file per figure that has something to show."""

    pictures: Kind = "png"

    def render(self, report: Report) -> dict[str, bytes]:
        """Each with its description in the metadata."""
        return {
            f"figures/{name}.png": drawing.png
            for name, drawing in drawings(report, [self.pictures]).items()
            if drawing.png
        }


OUTPUT = Png()

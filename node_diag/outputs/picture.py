"""A figure that is not one of a report's: of an experiment, of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from node_diag.outputs.table import LONGEST, Table, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure, and the same in words and numbers."""

    name: str
    title: str
    figure: Figure
    description: str
    table: Table

    def for_page(self, page: str) -> dict[str, Any]:
        """What the page's ``figure`` macro draws; ids begin with ``page``."""
        from node_diag.outputs.figures import image

        return {
            "title": self.title,
            "absent": "",
            "description": self.description,
            "table": thinned(self.table, LONGEST),
            "svg": image.svg(self.figure, f"{page}-{self.name}", self.description),
        }

    def files(self) -> dict[str, bytes]:
        """The picture and its numbers, by path in a report folder."""
        from node_diag.outputs.figures import image

        return {
            f"figures/{self.name}.png": image.png(self.figure, self.description),
            f"tables/{self.name}.csv": self.table.csv(),
        }

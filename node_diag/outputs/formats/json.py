"""The record itself; every other output can be drawn from it again (report.json)."""

from __future__ import annotations

from node_diag.records import Report


class Json:
    """report.json, validated by the published JSON Schema."""

    def render(self, report: Report) -> dict[str, bytes]:
        """NaN and infinities are strings, since JSON has no numbers for them."""
        return {"report.json": report.to_json().encode()}


OUTPUT = Json()

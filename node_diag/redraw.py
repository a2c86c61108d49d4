"""``node-diag report``: every output again, from the record alone."""

from __future__ import annotations

from pathlib import Path

from node_diag.config import CheckConfig
from node_diag.outputs.base import write
from node_diag.records import Report
from node_diag.stored import load_report


def redraw(
    record: Path, formats: list[str], folder: Path | None, *, force: bool
) -> tuple[Report, Path]:
    """Read a record and write the outputs asked for; by default into the record's own folder.

    Raises:
        UsageError: the record cannot be read, or the folder may not be replaced.
    """
    path = record / "report.json" if record.is_dir() else record
    found = load_report(path)
    target = folder or path.parent
    chosen = CheckConfig(report=formats).report if formats else found.config.report
    write(found, target, chosen, force=force or folder is None)
    return found, target

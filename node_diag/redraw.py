"""``node-diag report``: every output again, from the record alone."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from node_diag.config import CheckConfig
from node_diag.errors import UsageError
from node_diag.outputs.base import write
from node_diag.records import Report


def redraw(
    record: Path, formats: list[str], folder: Path | None, *, force: bool
) -> tuple[Report, Path]:
    """Read a record and write the outputs asked for; by default into the record's own folder.

    Raises:
        UsageError: the record cannot be read, or the folder may not be replaced.
    """
    path = record / "report.json" if record.is_dir() else record
    try:
        found = Report.load(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValidationError, ValueError) as error:
        raise UsageError(f"{path} is not a node-diag report of schema_version 1") from error
    target = folder or path.parent
    chosen = CheckConfig(report=formats).report if formats else found.config.report
    write(found, target, chosen, force=force or folder is None)
    return found, target

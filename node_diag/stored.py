"""Reports on disk: one record, or the records of a run of several problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from pydantic import ValidationError

from node_diag.errors import UsageError
from node_diag.outputs.folder import RECORD
from node_diag.records import Report


class NoReportError(UsageError):
    """There is no report where one was looked for."""


@dataclass(frozen=True)
class Stored:
    """Reports by name.

    Attributes:
        path: as it was named.
        reports: by the name of the problem, or of its folder in a run of several.
        is_run: whether it is a run of several.
    """

    path: Path
    reports: Mapping[str, Report]
    is_run: bool

    def name_of(self, name: str, problem: str | None = None) -> str | None:
        """The report that is called ``name``, or else the only one on that problem."""
        if name in self.reports:
            return name
        same = [n for n, r in self.reports.items() if problem and r.problem.name == problem]
        return same[0] if len(same) == 1 else None


def load_report(path: Path) -> Report:
    """A record from its file, or from its report folder.

    Raises:
        UsageError: it cannot be read.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        return Report.load(file)
    except FileNotFoundError as error:
        raise NoReportError(f"cannot read {file}: {error.strerror}") from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except (ValidationError, ValueError, BadZipFile):  # the last one from arrays.npz
        raise UsageError(f"{file} is not a node-diag report of schema_version 1") from None


def load_reports(path: Path) -> Stored:
    """A report.json, its folder, or a folder with a report folder for each of several problems.

    Raises:
        NoReportError: there is none.
        UsageError: one cannot be read.
    """
    if not path.is_dir() or (path / RECORD).exists():
        report = load_report(path)
        return Stored(path, {report.problem.name: report}, is_run=False)
    folders = sorted(file.parent for file in path.glob(f"*/{RECORD}"))
    if not folders:
        raise NoReportError(f"'{path}' holds no {RECORD}, and no folder in it does")
    return Stored(path, {folder.name: load_report(folder) for folder in folders}, is_run=True)

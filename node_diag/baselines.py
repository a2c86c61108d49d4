"""``--baseline``: which earlier report a check is held against, known before the check runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_diag.config import CheckConfig
from node_diag.config_file import stem
from node_diag.diagnosis.baseline import compare, differences, unknown
from node_diag.errors import UsageError
from node_diag.outputs.folder import RECORD
from node_diag.records import Comparison, ConfigRecord, Report
from node_diag.stored import NoReportError, Stored, load_reports

IGNORE = "pass --ignore-config to compare nevertheless"


@dataclass(frozen=True)
class Baseline:
    """What one check is held against.

    Attributes:
        path: as it was named.
        report: the earlier one; None if there is none of that problem.
        notes: settings that differ and are to be ignored.
    """

    path: str
    report: Report | None
    notes: list[str]

    def judge(self, found: Report, name: str, max_slowdown: float | None) -> Comparison:
        """The comparison of a finished check."""
        if self.report is None:
            return unknown(self.path, name)
        return compare(
            self.report,
            found,
            baseline=self.path,
            max_slowdown=max_slowdown,
            notes=self.notes,
        )


@dataclass(frozen=True)
class Asked:
    """A check that is to be held against a baseline.

    Attributes:
        name: of the problem.
        spec: PROBLEM.
        config: its options.
        overrides: keyword arguments of the problem.
        alone: whether no other problem is checked.
        first: the command that makes a baseline, but for its folder.
    """

    name: str
    spec: str
    config: CheckConfig
    overrides: Mapping[str, Any]
    alone: bool
    first: str


@dataclass
class Baselines:
    """All baselines of a run; each file is read once, and what was asked of it is remembered."""

    _stored: dict[str, Stored] = field(default_factory=dict[str, Stored])
    _used: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def of(self, asked: Asked) -> Baseline | None:
        """The baseline of one problem; None if none was asked for.

        Raises:
            UsageError: it cannot be read, is of another problem, or was made with other settings.
        """
        path, name = asked.config.baseline, asked.name
        if path is None:
            return None
        stored = self._read(path, asked)
        if stored is None:
            return Baseline(path, None, [])
        match = stored.name_of(name)
        if match is None and asked.alone:
            match = _only(stored, asked)
        if match is None:
            return Baseline(path, None, [])
        self._used.setdefault(path, set()).add(match)
        report = stored.reports[match]
        notes = agreed(
            report, name, asked.config, asked.overrides, ignore=asked.config.ignore_config
        )
        return Baseline(path, report, notes)

    def _read(self, path: str, asked: Asked) -> Stored | None:
        """What is stored at a path; None if this very run is to make it."""
        if path not in self._stored:
            try:
                self._stored[path] = load_reports(Path(path))
            except NoReportError:
                folder, report_dir = _folder(path), asked.config.report_dir
                if report_dir is not None and Path(report_dir).absolute() == folder.absolute():
                    return None
                named = "" if folder in (Path(path), Path(path).parent) else f" as '{folder}'"
                raise UsageError(
                    f"there is no baseline '{path}' yet; make it{named} with: "
                    f"{asked.first} --report-dir {shlex.quote(str(folder))}"
                ) from None
        return self._stored[path]

    def missing(self) -> list[str]:
        """Problems that a baseline has and nobody asked for."""
        return [
            name
            for path, stored in self._stored.items()
            for name in stored.reports
            if name not in self._used.get(path, set())
        ]


def _folder(path: str) -> Path:
    """The report folder that a baseline can be made as."""
    named = Path(path)
    if named.name == RECORD:
        return named.parent
    return named.with_suffix("") if named.suffix == ".json" else named


def _only(stored: Stored, asked: Asked) -> str | None:
    """The report for a problem that is checked alone and that none is called like.

    Raises:
        UsageError: there is none, and that is not to be ignored.
    """
    path, (name, *_) = stored.path, stored.reports
    report = stored.reports[name]
    is_it = not stored.is_run and stem(asked.spec) == stem(report.config.problem)
    if is_it or asked.config.ignore_config:
        return None if stored.is_run else name
    raise UsageError(
        f"the baseline '{path}' is of {', '.join(map(repr, stored.reports))}, not of "
        f"'{asked.name}'; name one of '{asked.name}', or pass --ignore-config to go on nevertheless"
    )


def agreed(
    base: Report,
    name: str,
    config: CheckConfig | ConfigRecord,
    overrides: Mapping[str, Any],
    *,
    ignore: bool,
) -> list[str]:
    """Settings in which a check differs from its baseline, if they are to be ignored.

    Raises:
        UsageError: there are some, and they are not.
    """
    found = differences(base.config, config, overrides)
    if found and not ignore:
        raise UsageError(
            f"the baseline of '{name}' was made with other settings ({_some(found)}); {IGNORE}"
        )
    return found


def _some(found: Sequence[str]) -> str:
    rest = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + rest

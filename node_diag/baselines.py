"""``--baseline``: which earlier report a check is held against, known before the check runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_diag.config import CheckConfig
from node_diag.diagnosis.baseline import compare, differences, unknown
from node_diag.errors import UsageError
from node_diag.records import Comparison, ConfigRecord, Report
from node_diag.stored import Stored, load_reports

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


@dataclass
class Baselines:
    """All baselines of a run; each file is read once, and what was asked of it is remembered."""

    _stored: dict[str, Stored] = field(default_factory=dict[str, Stored])
    _used: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def of(
        self, name: str, config: CheckConfig, overrides: Mapping[str, Any], *, alone: bool
    ) -> Baseline | None:
        """The baseline of one problem; None if none was asked for.

        Args:
            name: of the problem.
            config: its options.
            overrides: keyword arguments of the problem.
            alone: whether no other problem is checked: a single report is its baseline then,
                whatever that one's problem was called.

        Raises:
            UsageError: it cannot be read, or was made with other settings.
        """
        path = config.baseline
        if path is None:
            return None
        if path not in self._stored:
            self._stored[path] = load_reports(Path(path))
        stored = self._stored[path]
        only = next(iter(stored.reports)) if alone and not stored.is_run else None
        match = only or stored.name_of(name)
        if match is None:
            return Baseline(path, None, [])
        self._used.setdefault(path, set()).add(match)
        report = stored.reports[match]
        notes = agreed(report, name, config, overrides, ignore=config.ignore_config)
        return Baseline(path, report, notes)

    def missing(self) -> list[str]:
        """Problems that a baseline has and nobody asked for."""
        return [
            name
            for path, stored in self._stored.items()
            for name in stored.reports
            if name not in self._used.get(path, set())
        ]


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

"""``node-diag compare``: two checks, or two runs of several problems. No ODE is solved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node_diag.baselines import agreed
from node_diag.diagnosis.baseline import compare, unknown
from node_diag.outputs import github
from node_diag.outputs.formats import md
from node_diag.outputs.run_index import MISSING
from node_diag.records import Comparison
from node_diag.stored import Stored, load_reports
from node_diag.streams import Streams


@dataclass(frozen=True)
class Compared:
    """Two runs.

    Attributes:
        problems: the comparison of every problem of the new one, by name.
        missing: problems that only the earlier one has.
    """

    problems: Mapping[str, Comparison]
    missing: Sequence[str]

    @property
    def exit_code(self) -> int:
        """1 if anything fails."""
        return int(bool(self.missing) or any(c.failed for c in self.problems.values()))


def compare_paths(
    base: Path, new: Path, *, max_slowdown: float | None = None, ignore_config: bool = False
) -> Compared:
    """Compare what lies at two paths.

    Raises:
        UsageError: one cannot be read, or they were made with different settings.
    """
    old, now = load_reports(base), load_reports(new)
    pairs = _pairs(old, now)
    notes = {
        theirs: agreed(
            old.reports[ours],
            theirs,
            now.reports[theirs].config,
            now.reports[theirs].config.overrides,
            ignore=ignore_config,
        )
        for ours, theirs in pairs.items()
    }
    found = {
        theirs: compare(
            old.reports[ours],
            now.reports[theirs],
            baseline=str(base),
            max_slowdown=max_slowdown,
            notes=notes[theirs],
        )
        for ours, theirs in pairs.items()
    }
    found |= {name: unknown(str(base), name) for name in now.reports if name not in found}
    return Compared(found, [name for name in old.reports if name not in pairs])


def _pairs(old: Stored, new: Stored) -> dict[str, str]:
    """Name there → name here. Two single reports are a pair, so that a renamed problem is told."""
    if not (old.is_run or new.is_run):
        return {next(iter(old.reports)): next(iter(new.reports))}
    found = {name: new.name_of(name, report.problem.name) for name, report in old.reports.items()}
    return {name: match for name, match in found.items() if match is not None}


def lines(found: Compared, output_format: str) -> list[str]:
    """The comparison as json, markdown or github."""
    if output_format == "json":
        return [json.dumps(_record(found), indent=1, ensure_ascii=False)]
    if output_format == "markdown":
        parts = [
            f"### node-diag {md.code(name)}\n\n{md.compared(comparison)}"
            for name, comparison in found.problems.items()
        ]
        parts += [f"### node-diag {md.code(name)}\n\n{MISSING}" for name in found.missing]
        return ["\n\n".join(parts)]
    commands = [
        line
        for name, comparison in found.problems.items()
        for line in github.compared(name, comparison)
    ]
    return commands + [github.trouble(name, MISSING) for name in found.missing]


def _record(found: Compared) -> dict[str, object]:
    return {
        "schema_version": 1,
        "exit_code": found.exit_code,
        "problems": {name: json.loads(c.model_dump_json()) for name, c in found.problems.items()},
        "missing": list(found.missing),
    }


def print_table(found: Compared, streams: Streams) -> None:
    """Every problem under its name."""
    from node_diag.outputs.foreign import plain
    from node_diag.outputs.terminal import print_comparison

    for name, comparison in found.problems.items():
        streams.out.print(plain(name), markup=False)
        print_comparison(comparison, streams.out)
        streams.out.print()
    for name in found.missing:
        streams.out.print(f"{plain(name)}: {MISSING}", markup=False)

"""Values of any kind, as details and evidence hold them, as short texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from node_diag.outputs.foreign import shorten
from node_diag.outputs.numbers import NOTHING, count, general
from node_diag.records import ConfigRecord

LONGEST = 200
_MOST_ITEMS = 12


def show(value: Any) -> str:
    """One line for a number, text, list or mapping; long ones end in ``…``."""
    return shorten(_text(value), LONGEST)


def ignored(config: ConfigRecord) -> str:
    """Which findings were not looked for; empty if all were."""
    parts = [f"only {', '.join(config.select)} looked for"] if config.select else []
    parts += [f"{', '.join(config.ignore)} left out"] if config.ignore else []
    return f"Findings: {'; '.join(parts)}." if parts else ""


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return general(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return (
            ", ".join(f"{key}: {_text(item)}" for key, item in list(pairs)[:_MOST_ITEMS]) or "none"
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = cast("Sequence[Any]", value)
        if items and all(isinstance(item, Mapping) for item in items):
            return f"{count(len(items))}, listed in report.json"
        rest = f", … ({len(items)} in all)" if len(items) > _MOST_ITEMS else ""
        return ", ".join(_text(item) for item in items[:_MOST_ITEMS]) + rest or "none"
    return str(value)

"""Where the options of a check come from: flags, environment, files, a captured call. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from node_diag.config import LISTS, SINGULAR, CheckConfig, flag_of, split_names
from node_diag.config_file import PROBLEMS, Entry, entries, read_file
from node_diag.errors import UsageError
from node_diag.registry import suggest

FLAG, ARGUMENT = "flag", "argument"
"""Where the options of a command and those of a call come from."""
SUGGESTED = "the captured call"
"""Where options come from that a problem comes with."""
FLAGS_ONLY = (
    *("config", "exit_zero", "force", "no_color", "open", "output_format", "quiet", "verbose"),
)
"""Options of the command that say nothing of what is checked: they are not configured."""
_PLURAL = {one: many for many, one in SINGULAR.items()}
"""An option may be called in the configuration what its flag is called."""


def is_given(source: str) -> bool:
    """Whether a value was given with the command or the call itself."""
    return source.startswith((f"{FLAG} ", f"{ARGUMENT} "))


class Resolved(BaseModel):
    """A configuration and the origin of every value that is not a default."""

    config: CheckConfig
    sources: dict[str, str]


def resolve(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None,
    entry: Entry | None = None,
    given: str = FLAG,
) -> Resolved:
    """Flags over NODE_DIAG_* over the problem's entry over the file's other keys over defaults.

    Args:
        flags: by option name; None or an empty list means not given.
        environment: the process's environment.
        file: pyproject.toml, node-diag.yaml, or None.
        entry: what the file's ``problems`` says of the problem.
        given: what the flags are called, where they are a call's arguments.

    Raises:
        UsageError: an unknown key or an impossible value, and where it came from.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    name = file.name if file else ""
    table = read_file(file) if file else {}
    table.pop(PROBLEMS, None)
    for layer, origin in (
        (table, name),
        (entry.options, f"{name}: {PROBLEMS}: {entry.name}") if entry else ({}, ""),
        (_from_environment(environment), "environment"),
        ({key: value for key, value in flags.items() if value not in (None, [], ())}, given),
    ):
        for named, value in layer.items():
            key = _PLURAL.get(named, named)
            _require_known(key, origin)
            values[key] = value
            sources[key] = _origin(key, origin)
    try:
        return Resolved(config=CheckConfig(**values), sources=sources)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "configuration"
        where = sources.get(key.split(".")[0], "")
        raise UsageError(
            f"{key} = {first.get('input')!r}{f' (from {where})' if where else ''}: {first['msg']}"
        ) from None  # a traceback of pydantic's is nobody's


def _origin(key: str, origin: str) -> str:
    if origin == FLAG:
        return f"flag {flag_of(key)}"
    if origin == ARGUMENT:
        return f"argument {key}"
    if origin == "environment":
        return f"environment NODE_DIAG_{key.upper()}"
    return f"{origin}: {key}"


def _require_known(key: str, origin: str) -> None:
    if key not in CheckConfig.model_fields:
        known = [*CheckConfig.model_fields, PROBLEMS]
        if key == "set":
            raise UsageError(
                f"'set' in {origin} is of no problem; put it into an entry of 'problems', as in "
                '{problem = "vanderpol", set = {mu = 5}}, or pass --set'
            )
        if key in FLAGS_ONLY:
            raise UsageError(
                f"'{key}' in {origin} is a flag only; pass {flag_of(key)} to the command"
            )
        raise UsageError(f"unknown key '{key}' in {origin}{suggest(key, known)}")


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    prefix = "NODE_DIAG_"
    found: dict[str, Any] = {}
    for name, value in environment.items():
        key = name.removeprefix(prefix).lower()
        key = _PLURAL.get(key, key)
        if not name.startswith(prefix) or name == "NODE_DIAG_DEBUG":
            continue
        if key == PROBLEMS:
            continue
        _require_known(key, f"environment variable {name}")
        found[key] = value.split(",") if key in LISTS else value
    return found


def configured_problems(environment: Mapping[str, str], file: Path | None) -> list[Entry]:
    """What ``check`` without PROBLEM checks: NODE_DIAG_PROBLEMS, or else the file's ``problems``.

    Raises:
        UsageError: an entry cannot be used.
    """
    options = [name for name in CheckConfig.model_fields if name != "report_dir"]
    if named := environment.get(f"NODE_DIAG_{PROBLEMS.upper()}"):
        return entries(split_names([named]), f"NODE_DIAG_{PROBLEMS.upper()}", options)
    table = read_file(file) if file else {}
    return entries(table.get(PROBLEMS, []), file.name if file else "", options)


def process_environment() -> dict[str, str]:
    """The environment of this process."""
    return dict(os.environ)

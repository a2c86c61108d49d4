"""Values of a check as words of a command line, and back."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from typing import Any

from node_diag.config import LISTS, CheckConfig, flag_of, option_text
from node_diag.errors import UsageError


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """``["mu=2", "name=x"]`` → ``{"mu": 2, "name": "x"}``.

    Raises:
        UsageError: an entry has no name or no '='.
    """
    found: dict[str, Any] = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator or not name.strip().isidentifier():
            raise UsageError(f"--set {text}: write it as NAME=VALUE")
        found[name.strip()] = _literal(value.strip())
    return found


def _literal(text: str) -> Any:
    named = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        value = ast.literal_eval(text)
    except Exception:  # not a literal: unhashable keys, too deep, …
        return text
    return value if isinstance(value, int | float | str | bool | list | tuple | dict) else text


def assignment(name: str, value: Any) -> str:
    """``NAME=VALUE`` that is read as this value: a text that looks like a number gets quotes."""
    is_word = isinstance(value, str) and _literal(value) == value
    return f"{name}={value}" if is_word else f"{name}={value!r}"


def command_line(
    spec: str, overrides: Mapping[str, Any], config: CheckConfig, sources: Mapping[str, str]
) -> str:
    """The line that runs the same check again, wherever a value came from."""
    words = ["node-diag", "check", spec]
    for name, value in overrides.items():
        words += ["--set", assignment(name, value)]
    return shlex.join([*words, *options(config, sources)])


def options(config: CheckConfig, sources: Mapping[str, str]) -> list[str]:
    """Values as flags, those whose source is known."""
    words: list[str] = []
    for name in CheckConfig.model_fields:
        value = getattr(config, name)
        if name in ("report", "report_dir") or name not in sources:
            continue
        if name in LISTS and name not in ("gates", "max_grad_error"):
            value = [",".join(value)]
        if value is True:
            words.append(flag_of(name))
        elif value is not False:
            for one in value if isinstance(value, list) else [value]:
                words += [flag_of(name), option_text(one)]
    return words

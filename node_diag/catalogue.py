"""What there is: listings and explanations from docstrings alone, without importing plug-ins."""

from __future__ import annotations

import ast

from node_diag.builtins import builtin_descriptions
from node_diag.errors import UsageError
from node_diag.registry import FINDINGS, METHODS, SOLVERS, code_of, suggest

Entry = dict[str, str | list[str]]


def entries(kinds: list[str]) -> dict[str, list[Entry]]:
    """Name, aliases and one line on everything of the given kinds."""
    return {kind: _entries(kind) for kind in kinds}


def _entries(kind: str) -> list[Entry]:
    if kind == "problems":
        return [
            {"name": name, "description": text} for name, text in builtin_descriptions().items()
        ]
    if kind == "findings":
        return [
            {"name": code_of(name), "description": text}
            for name, text in FINDINGS.descriptions().items()
        ]
    registry = SOLVERS if kind == "solvers" else METHODS
    listed: list[Entry] = []
    for name, text in registry.descriptions().items():
        aliases = [alias for alias, target in registry.aliases if target == name]
        entry: Entry = {"name": name, "description": text}
        if aliases:
            entry["aliases"] = aliases
        listed.append(entry)
    return listed


def as_text(shown: dict[str, list[Entry]]) -> str:
    """A block for each kind, names aligned."""
    blocks: list[str] = []
    for kind, listed in shown.items():
        names = [_with_aliases(entry) for entry in listed]
        width = max(map(len, names), default=0)
        lines = [
            f"  {name:<{width}}  {entry['description']}"
            for name, entry in zip(names, listed, strict=True)
        ]
        blocks.append("\n".join([f"{kind}:", *lines]))
    return "\n\n".join(blocks)


def _with_aliases(entry: Entry) -> str:
    aliases = entry.get("aliases", [])
    return f"{entry['name']} = {', '.join(aliases)}" if aliases else str(entry["name"])


def explain(code: str) -> str:
    """The text of a finding: the docstring of its rule.

    Raises:
        UsageError: there is no such code.
    """
    rules = {code_of(name): path for name, path in FINDINGS.paths.items()}
    wanted = code.upper()
    if wanted not in rules:
        raise UsageError(
            f"unknown finding '{code}'{suggest(wanted, list(rules))} Run 'node-diag list findings'."
        )
    text = ast.get_docstring(ast.parse(rules[wanted].read_text(encoding="utf-8"))) or ""
    return f"{wanted}: {text}"

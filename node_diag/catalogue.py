"""What there is: listings and explanations from docstrings alone, without importing plug-ins."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence

from node_diag.builtins import builtin_descriptions
from node_diag.errors import UsageError
from node_diag.metric_names import DESCRIPTIONS
from node_diag.registry import FINDINGS, METHODS, SOLVERS, code_of, install

Entry = dict[str, str | bool | list[str]]


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
    if kind == "metrics":
        return [{"name": name, "description": text} for name, text in DESCRIPTIONS.items()]
    registry = SOLVERS if kind == "solvers" else METHODS
    listed: list[Entry] = []
    for name, text in registry.descriptions().items():
        aliases = [alias for alias, target in registry.aliases if target == name]
        entry: Entry = {"name": name, "description": text}
        if aliases:
            entry["aliases"] = aliases
        if registry is METHODS and (library := METHODS.requires(name)):
            entry |= {"requires": library, "installed": not METHODS.missing(name)}
            if METHODS.missing(name):
                entry["install"] = install(library)
        listed.append(entry)
    return listed


def as_text(shown: dict[str, list[Entry]]) -> str:
    """A block for each kind, names aligned."""
    blocks: list[str] = []
    for kind, listed in shown.items():
        names = [_with_aliases(entry) for entry in listed]
        width = max(map(len, names), default=0)
        lines = [
            f"  {name:<{width}}  {entry['description']}{_to_install(entry)}"
            for name, entry in zip(names, listed, strict=True)
        ]
        blocks.append("\n".join([f"{kind}:", *lines]))
    return "\n\n".join(blocks)


def _with_aliases(entry: Entry) -> str:
    aliases = entry.get("aliases")
    return (
        f"{entry['name']} = {', '.join(aliases)}"
        if isinstance(aliases, list)
        else str(entry["name"])
    )


def _to_install(entry: Entry) -> str:
    return f" (not installed: {entry['install']})" if "install" in entry else ""


def explain(codes: Sequence[str]) -> str:
    """The texts of findings: the docstrings of their rules.

    Args:
        codes: ``ND101``; also with commas between them, and ``ND1`` for all that begin so.

    Raises:
        UsageError: there is no such code.
    """
    rules = {code_of(name): path for name, path in FINDINGS.paths.items()}
    asked = [code.strip().upper() for text in codes for code in text.split(",")]
    beginning = {each: [code for code in rules if code.startswith(each)] for each in asked if each}
    unknown = [each for each, found in beginning.items() if not found or len(each) < len("ND1")]
    wanted = list(dict.fromkeys(code for found in beginning.values() for code in found))
    if unknown:
        near = difflib.get_close_matches(unknown[0], rules, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else "."
        raise UsageError(f"unknown finding '{unknown[0]}'{hint} Run 'node-diag list findings'.")
    texts = {code: ast.parse(rules[code].read_text(encoding="utf-8")) for code in wanted}
    return "\n\n".join(f"{code}: {ast.get_docstring(text) or ''}" for code, text in texts.items())

"""Name → plug-in. A plug-in is one file in a folder; listing never imports it.

The one-line description shown by ``node-diag list`` is the first line of the file's docstring and
is read as text, so that listing gradient methods does not import torch.
"""

from __future__ import annotations

import difflib
import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from node_diag.errors import UsageError


def describe(path: Path) -> str:
    """First line of a Python file's docstring, without importing or even parsing the file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().strip().strip('"').rstrip(".")


def suggest(name: str, choices: list[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest choice, or a full stop."""
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else "."


@dataclass(frozen=True)
class Registry:
    """The plug-ins of one kind: modules of ``package`` that define ``attribute``.

    A file ``heun_euler.py`` is the plug-in ``heun-euler``.
    """

    kind: str
    package: str
    attribute: str
    aliases: tuple[tuple[str, str], ...] = ()

    @cached_property
    def paths(self) -> dict[str, Path]:
        """File of every plug-in, by name, in alphabetical order."""
        folder = Path(__file__).parent.joinpath(*self.package.split(".")[1:])
        files = sorted(folder.glob("[!_]*.py"))
        return {path.stem.replace("_", "-"): path for path in files}

    def names(self) -> list[str]:
        """Canonical names, in alphabetical order."""
        return list(self.paths)

    def canonical(self, name: str) -> str:
        """The file's name behind a name or an alias.

        Raises:
            UsageError: nothing is called so; the message suggests the closest name.
        """
        name = dict(self.aliases).get(name, name)
        if name not in self.paths:
            known = [*self.paths, *dict(self.aliases)]
            raise UsageError(
                f"unknown {self.kind} '{name}'{suggest(name, known)} There are: {', '.join(known)}."
            )
        return name

    def load(self, name: str) -> Any:
        """Import the plug-in and return the object it registers."""
        module = self.canonical(name).replace("-", "_")
        return getattr(importlib.import_module(f"{self.package}.{module}"), self.attribute)

    def descriptions(self) -> dict[str, str]:
        """One line on every plug-in."""
        return {name: describe(path) for name, path in self.paths.items()}


def is_file(name: str) -> bool:
    """Whether a name means ``path/to/file.py[:ATTRIBUTE]``."""
    return name.endswith(".py") or ".py:" in name


_REQUIRES = re.compile(r'^REQUIRES = "(\w+)"$', re.MULTILINE)


def install(library: str) -> str:
    """The command that installs a library of gradient methods."""
    return f"pip install {library}"


@dataclass(frozen=True)
class MethodRegistry(Registry):
    """Gradient methods; ``path/to/file.py[:ATTRIBUTE]`` means one in the user's own file.

    The file of one that needs another library says so in a line ``REQUIRES = "…"``.
    """

    def load(self, name: str) -> Any:
        """Import the plug-in and return the object it registers.

        Raises:
            UsageError: there is no such method, or the library it needs is not installed.
        """
        missing = self.missing(self.canonical(name))
        if missing:
            raise UsageError(
                f"method '{name}' needs {missing}, which is not installed: {install(missing)}"
            )
        return super().load(name)

    def requires(self, name: str) -> str:
        """The library a method needs, read without importing anything; empty: none."""
        found = _REQUIRES.search(self.paths[name].read_text(encoding="utf-8"))
        return found[1] if found else ""

    def missing(self, name: str) -> str:
        """That library if it is not installed."""
        library = self.requires(name)
        return library if library and find_spec(library) is None else ""

    def canonical(self, name: str) -> str:
        """As of any registry; a file's is the name as it was given."""
        return name if is_file(name) else super().canonical(name)

    def label(self, name: str) -> str:
        """What a method is called in a report: the attribute, or the stem of its file."""
        if not is_file(name):
            return name
        path, _, attribute = name.rpartition(":") if ".py:" in name else (name, "", "")
        return attribute or Path(path).stem


SOLVERS = Registry(
    "solver",
    "node_diag.solvers.tableaus",
    "TABLEAU",
    aliases=(("rk12", "heun-euler"), ("rk23", "bosh3"), ("rk45", "dopri5")),
)
METHODS = MethodRegistry("method", "node_diag.gradients.methods", "METHOD")
FINDINGS = Registry("finding", "node_diag.diagnosis.rules", "RULE")
OUTPUTS = Registry("output", "node_diag.outputs.formats", "OUTPUT")
EXPERIMENTS = Registry("experiment", "node_diag.experiments.cases", "EXPERIMENT")


def code_of(name: str) -> str:
    """Code of a finding by the name of its file: ``nd101-reverse-time-instability`` → ``ND101``."""
    return name.split("-", 1)[0].upper()


def finding_codes() -> list[str]:
    """Codes of all findings."""
    return [code_of(name) for name in FINDINGS.names()]

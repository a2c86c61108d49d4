"""Where the built-in problems are: beside the package in a source tree, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from node_diag.registry import describe

_PACKAGE = Path(__file__).parent


def _folder() -> Path:
    installed = _PACKAGE / "_problems"
    return installed if installed.is_dir() else _PACKAGE.parent / "problems"


def builtin_names() -> list[str]:
    """Names of the built-in problems, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("[!_]*.py"))


def builtin_path(name: str) -> Path:
    """File of a built-in problem."""
    return _folder() / f"{name}.py"


def builtin_descriptions() -> dict[str, str]:
    """One line on every built-in problem, read without importing it."""
    return {name: describe(builtin_path(name)) for name in builtin_names()}

"""What the cells of a sweep depend on besides their settings: versions, and the person's code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from node_diag import __version__
from node_diag.cells import stamp_of
from node_diag.registry import METHODS, is_file

COMPUTING = ("torch", "numpy", "scipy")


def stamp(spec: str, methods: Sequence[str], here: Path) -> str:
    """A digest that another version of anything that computes changes.

    Call it when the problem has been loaded: of the files that it imports, those beside it and
    below are a part of it. What it reads besides, such as data, is not looked at.

    Args:
        spec: the problem, as the command line names it.
        methods: gradient methods, some of them perhaps ``path/to/file.py:NAME``.
        here: the folder that names of files are relative to; the problem may have left it.
    """
    named = [here / _file(name) for name in (spec, *methods) if is_file(name)]
    if not is_file(spec) and (module := sys.modules.get(spec.partition(":")[0])) is not None:
        named += [Path(module.__file__)] if module.__file__ else []
    own = {path.resolve() for path in named} | set(_imported({p.resolve().parent for p in named}))
    texts = [path.read_text(encoding="utf-8") for path in sorted(own) if path.is_file()]
    libraries = [METHODS.requires(name) for name in methods if not is_file(name)]
    return stamp_of(__version__, *map(_version, (*COMPUTING, *libraries)), *texts)


def _file(name: str) -> Path:
    return Path(name.rsplit(":", 1)[0] if ":" in name else name)


def _imported(folders: Iterable[Path]) -> Iterable[Path]:
    """Files of the modules in memory that lie in these folders, and are not installed there."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or "-packages" in file:
            continue
        path = Path(file).resolve()
        if any(path.is_relative_to(folder) for folder in folders):
            yield path


def _version(library: str) -> str:
    """As it is installed; empty if it is not."""
    try:
        return metadata.version(library) if library else ""
    except metadata.PackageNotFoundError:
        return ""

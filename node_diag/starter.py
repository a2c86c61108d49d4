"""``node-diag init``: the files to start from, written to where they are wanted."""

from __future__ import annotations

import shlex
from pathlib import Path

from node_diag.errors import UsageError

STARTERS = Path(__file__).parent / "starters"
WORKFLOW = Path(".github", "workflows", "node-diag.yml")


def write(file: Path, *, with_workflow: bool) -> list[Path]:
    """Write the module, and the workflow that checks it; nothing if one of them is there.

    Returns:
        Paths of what was written.

    Raises:
        UsageError: a file is there already, or cannot be written.
    """
    if file.suffix != ".py":
        raise UsageError(f"'{file}' is not a Python file; name a .py file")
    contents = {file: (STARTERS / "problem.py").read_text(encoding="utf-8")}
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder '{file.parent}'; make it first")
    if with_workflow:
        contents[WORKFLOW] = workflow(file)
    for path in contents:
        if path.exists() or path.is_symlink():
            raise UsageError(f"'{path}' is there already; nothing was written")
    try:
        for path, text in contents.items():
            if path == WORKFLOW:
                path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write '{error.filename}': {error.strerror}") from error
    return list(contents)


def workflow(file: Path) -> str:
    """The GitHub workflow that checks a module."""
    text = (STARTERS / "github.yml").read_text(encoding="utf-8")
    name = file.as_posix()
    return text.replace("{file}", name).replace("{argument}", shlex.quote(name))

"""``node-diag init``: the files to start from, written to where they are wanted."""

from __future__ import annotations

import shlex
from pathlib import Path

from node_diag import origin
from node_diag.errors import UsageError

STARTERS = Path(__file__).parent / "starters"
FROM_A_VARIABLE = """\
env:
          NODE_DIAG: ${{ vars.NODE_DIAG }}
        run: python -m pip install "${NODE_DIAG:?is not set; say what pip installs it from}"\
"""
"""How it is installed where only this machine has what it was installed from."""
ASKED = (
    "only this machine has what node-diag was installed from: set the variable NODE_DIAG of the "
    "GitHub repository to what pip can install it from there, such as git+https://… or ./folder"
)
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
    name, found = file.as_posix(), origin.requirement()
    install = f"run: python -m pip install '{found}'" if found else FROM_A_VARIABLE
    return (
        text.replace("{file}", name)
        .replace("{argument}", shlex.quote(name))
        .replace("{install}", install)
    )


def asked() -> str:
    """What is left for the person to do before the workflow can run; empty if nothing is."""
    return "" if origin.requirement() else ASKED

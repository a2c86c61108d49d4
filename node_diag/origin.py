"""Where this node-diag was installed from, as pip on another machine can name it (PEP 610)."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from node_diag import __version__


def requirement() -> str | None:
    """What to hand to ``pip install`` for the same node-diag; None if only this machine has it."""
    try:
        text = metadata.distribution("node-diag").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    if text is None:  # from an index
        return f"node-diag=={__version__}"
    return _from(cast("dict[str, Any]", json.loads(text)))


def _from(direct: dict[str, Any]) -> str | None:
    """Of the record that pip keeps of an installation that is from no index."""
    url = str(direct.get("url", ""))
    if vcs := direct.get("vcs_info"):
        return _git(url, str(vcs.get("commit_id", "")))
    if not url.startswith("file:"):
        return f"node-diag @ {url}"
    folder = Path(unquote(urlsplit(url).path))
    if folder.is_relative_to(Path.cwd()):
        return f"./{folder.relative_to(Path.cwd()).as_posix()}"
    pushed = _output(folder, "branch", "--remotes", "--contains", "HEAD")
    commit = _output(folder, "rev-parse", "HEAD") if pushed else ""
    return _git(_output(folder, "remote", "get-url", "origin"), commit)


def _git(url: str, commit: str) -> str | None:
    """An address over https, which needs no key: ``git@host:path`` → ``https://host/path``."""
    address = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", url)
    address = re.sub(r"^https://[^/@]*@", "https://", address)  # a password is nobody's business
    if not address.startswith("https://"):
        return None
    return f"node-diag @ git+{address}" + (f"@{commit}" if commit else "")


def _output(folder: Path, *arguments: str) -> str:
    """What git says of a folder; nothing where there is no git, or nothing to say."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

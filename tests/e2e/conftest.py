"""Reports of the built-in problems, computed once, and the installed command."""

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from node_diag.config import resolve
from node_diag.loader import load
from node_diag.pipeline import Request, run_check

ALL = ["adjoint", "aca", "naive", "direct"]


@lru_cache
def _report(spec, overrides, flags):
    config = resolve({"methods": ALL, "repeat": 1, **dict(flags)}, {}, None).config
    return run_check(Request(load(spec, dict(overrides)), config, spec, dict(overrides)))


@pytest.fixture(scope="session")
def checked():
    """``checked("vanderpol", {"mu": 1.0}, rtol=1e-3)`` → Report, each computed once."""
    return lambda spec, overrides=None, **flags: _report(
        spec, tuple((overrides or {}).items()), tuple(flags.items())
    )


@pytest.fixture
def node_diag(tmp_path):
    """Run the installed ``node-diag`` in an empty folder; returns the finished process."""
    command = Path(sys.executable).parent / "node-diag"

    def run(*arguments, timeout=120, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NODE_DIAG_", "GITHUB_"))}
        return subprocess.run(
            [command, *map(str, arguments)],
            cwd=tmp_path,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    return run

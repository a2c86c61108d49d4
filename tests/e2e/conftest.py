"""Reports of the built-in problems, computed once, and the installed command."""

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from node_diag.config_sources import resolve
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


NODE_DIAG = Path(sys.executable).parent / "node-diag"


@pytest.fixture(scope="session")
def warm():
    """A process that has imported what a check needs, and runs commands in forks of itself."""
    command = [sys.executable, Path(__file__).parent / "warm.py", NODE_DIAG]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def _environment(own):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NODE_DIAG_", "GITHUB_"))}
    return {**clean, **own}


@pytest.fixture
def node_diag(warm, tmp_path, tmp_path_factory):
    """Run ``node-diag`` in an empty folder; returns the finished process."""
    streams = tmp_path_factory.mktemp("streams")

    def run(*arguments, timeout=120, **environment):
        argv, paths = list(map(str, arguments)), [str(streams / "out"), str(streams / "err")]
        request = {
            "argv": argv, "cwd": str(tmp_path), "env": _environment(environment),
            "stdout": paths[0], "stderr": paths[1], "timeout": timeout,
        }  # fmt: skip
        warm.stdin.write(json.dumps(request).encode() + b"\n")
        warm.stdin.flush()
        code = json.loads(warm.stdout.readline())
        found = [Path(path).read_bytes().decode() for path in paths]
        if code is None:
            pytest.fail(f"{argv} not over after {timeout} s; it stands at\n{found[1]}")
        return subprocess.CompletedProcess([NODE_DIAG, *argv], code, *found)

    return run


@pytest.fixture
def installed(tmp_path):
    """The same from nothing, imports and all."""

    def run(*arguments, timeout=120, **environment):
        return subprocess.run(
            [NODE_DIAG, *map(str, arguments)],
            cwd=tmp_path, env=_environment(environment), capture_output=True, text=True,
            timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run

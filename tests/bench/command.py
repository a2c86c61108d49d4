"""The installed command: a whole check, and start-up."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.bench.ratio import Ratio, alternate, timed

COMMAND = str(Path(sys.executable).parent / "node-diag")
IMPORTS = "import torch, scipy.integrate, matplotlib.pyplot"


def _run(*arguments: str, cwd: str) -> None:
    subprocess.run(
        arguments, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.startswith("NODE_DIAG_")},
    )  # fmt: skip


def whole_check() -> Ratio:
    """The main job, report included, over importing what it is made of."""
    with tempfile.TemporaryDirectory() as folder:
        return alternate(
            lambda: _run(COMMAND, "check", "vanderpol", "--rtol", "1e-5", cwd=folder),
            lambda: _run(sys.executable, "-c", IMPORTS, cwd=folder),
            pairs=9,
        )


def start_up() -> list[tuple[str, float]]:
    """Median seconds of the commands that need no torch."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[tuple[str, float]] = []
        for name in ("--help", "--version", "list"):
            times = [timed(lambda n=name: _run(COMMAND, n, cwd=folder)) for _ in range(7)]
            found.append((name, median(times)))
        return found

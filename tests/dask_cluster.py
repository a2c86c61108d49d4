"""A Dask scheduler and its workers, as processes of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DASK = Path(sys.executable).parent / "dask"
PATIENCE = 60
"""Seconds that starting Python may take on a busy machine."""
Process = subprocess.Popen[bytes]


@contextmanager
def cluster(folder: Path, n: int) -> Iterator[tuple[str, Process, list[Process]]]:
    """Address, scheduler and n workers, which are started in ``folder`` and killed at the end."""
    running: list[Process] = []

    def start(*arguments: str) -> Process:
        process = subprocess.Popen(
            [DASK, *arguments, "--no-dashboard"], cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        running.append(process)
        return process

    try:
        file = folder / "scheduler.json"
        file.unlink(missing_ok=True)
        scheduler = start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)
        )
        limit = time.monotonic() + PATIENCE
        while not file.exists():
            assert time.monotonic() < limit
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        workers = [start("worker", address, "--nthreads", "1", "--no-nanny") for _ in range(n)]
        yield address, scheduler, workers
    finally:
        for process in running:
            process.kill()
            process.wait()

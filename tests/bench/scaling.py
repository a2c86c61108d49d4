"""How sweeps scale over the workers of a Dask cluster; writes docs/scaling.md."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from node_diag.cells import FAILED, Cell, Store, Work, run
from node_diag.cluster import connected
from node_diag.config import CheckConfig
from tests.bench.cells import computes, waits
from tests.dask_cluster import cluster

WORKERS = (1, 2, 4, 8)
WAIT, WAITING, EMPTY = 0.1, 160, 2_000
"""Seconds that a cell waits instead of computing, how many such cells, and how many do nothing."""
REAL = 40
"""Cells of van der Pol."""
MILLION = 1_000_000


def seconds(work: Work, cells: list[Mapping[str, Any]], workers: int) -> float:
    """Of all cells, once the workers have imported what they need."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            cluster(folder, workers) as (address, _, _),
            connected(address, name, lambda _: None, workers) as engine,
        ):
            warm = [Cell(f"warm{i}", cells[0]) for i in range(4 * workers)]
            for _ in run(warm, work, Store(folder / "warm", ""), engine):
                pass
            start = time.perf_counter()
            numbered = [Cell(f"cell{i}", arguments) for i, arguments in enumerate(cells)]
            found = list(run(numbered, work, Store(folder / "cells", ""), engine))
            taken = time.perf_counter() - start
            assert not [result for _, result in found if FAILED in result]
            assert len(found) == len(cells)
            return taken


def stored() -> float:
    """Seconds to store one result."""
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name), "")
        result = {"methods": {"aca": dict.fromkeys(map(str, range(14)), 1.0)}}
        start = time.perf_counter()
        for i in range(EMPTY):
            store.put(Cell(f"cell{i}"), result)
        return (time.perf_counter() - start) / EMPTY


def page() -> str:
    """docs/scaling.md."""
    config = CheckConfig(methods=["aca", "naive", "adjoint"]).model_dump(mode="json")
    real = [
        {"n": n, "spec": "vanderpol", "overrides": {}, "config": {**config, "rtol": 10 ** -(3 + n / 10)}}
        for n in range(REAL)
    ]  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    empty = {w: seconds(partial(waits, 0.0), [{"n": n} for n in range(EMPTY)], w) for w in (1, 4)}
    waiting = {
        w: seconds(partial(waits, WAIT), [{"n": n} for n in range(WAITING)], w) for w in WORKERS
    }
    # Twice, in turn: other work on the machine shows in how far they are apart.
    rounds = [{w: seconds(computes, real, w) for w in order} for order in ((1, cores), (cores, 1))]
    computing = {w: [one[w] for one in rounds] for w in (1, cores)}
    overhead, cost = min(empty.values()) / EMPTY, min(computing[1]) / REAL
    lines = [
        "# Scaling of sweeps",
        "",
        "Written by `python -m tests.bench.scaling`: a Dask scheduler and its workers as processes of",
        f"one machine with {cores} cores, workers warm, times from the first cell given out to the last",
        "result on disk.",
        "",
        f"{WAITING} cells that take {WAIT:g} s each without using a core, as cells on other machines do:",
        "",
        "| workers | seconds | efficiency |",
        "|---|---|---|",
        *(f"| {w} | {s:.2f} | {WAITING * WAIT / w / s:.0%} |" for w, s in waiting.items()),
        "",
        f"{REAL} settings of van der Pol, three methods each, measured twice:",
        "",
        "| workers | seconds | speed-up |",
        "|---|---|---|",
        *(
            f"| {w} | {', '.join(f'{s:.1f}' for s in taken)} "
            f"| {', '.join(f'{a / s:.2f}' for a, s in zip(computing[1], taken, strict=True))} |"
            for w, taken in computing.items()
        ),
        "",
        f"{EMPTY:,} cells that do nothing take {1e3 * overhead:.2f} ms each: scheduler, network and one",
        f"file for each result ({1e3 * stored():.2f} ms of it), one after the other in the process that",
        "sweeps, whatever the number of workers.",
        "",
        "## A model",
        "",
        "N cells of c seconds on w workers take",
        "",
        "    T = s + max(N c / w, N o)",
        "",
        f"with o = {1e3 * overhead:.2f} ms as above and s the seconds in which workers import torch and",
        "find the truth of the problem, each for itself. More than w = c / o workers do not help:",
        f"{cost / overhead:.0f} for the cells of van der Pol above (c = {cost:.2f} s). A sweep of 10⁶ cells takes",
        f"{MILLION * overhead / 60:.0f} minutes at the least, on as many workers as one likes; on 100 workers and with cells",
        f"of {cost:.2f} s it takes {MILLION * cost / 100 / 3600:.1f} hours. What limits it first is the scheduler and this process; the next is",
        "the folder of 10⁶ small files (about 4 KiB each on most file systems) and the gathered record,",
        "which is held in memory. Split such a sweep along one axis into several commands, each with its",
        "own folder, and concatenate their `points.parquet`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/scaling.md"))
    output: Path = parser.parse_args().output
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # for the workers
    text = page()
    output.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201 - the result of this command


if __name__ == "__main__":
    main()

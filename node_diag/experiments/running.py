"""Experiments from their names to their pages; what is finished stays finished."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from node_diag import __version__
from node_diag.cells import FAILED, Cell, Store, run, stamp_of
from node_diag.errors import UsageError
from node_diag.experiments.base import Conclusion, Experiment, Results, failures
from node_diag.experiments.rendering import Finished, files, overview
from node_diag.outputs.figures.style import sheet
from node_diag.outputs.folder import put, put_all
from node_diag.registry import EXPERIMENTS

CELLS = "cells"
"""Folder of the finished cells, inside that of the experiment."""


def reproduce(
    names: Sequence[str], folder: Path, told: Callable[[str], None], *, again: bool = False
) -> list[Finished]:
    """Run experiments, and write a page for each and one for all of them.

    Args:
        names: from the ``EXPERIMENTS`` registry.
        folder: one folder each in here, and ``index.html``; the page is written anew after each.
        told: what is being done.
        again: compute what is there already, too.

    Raises:
        UsageError: an unknown name, or a folder that cannot be written to.
    """
    names = [EXPERIMENTS.canonical(name) for name in names]
    done: list[Finished] = []
    for number, name in enumerate(names, 1):
        told(f"{name} ({number} of {len(names)})")
        done.append(_one(name, folder / name, told, again=again))
        put_all(folder / name, files(done[-1]))
        if len(names) > 1:
            put_all(folder, overview(done))
    return done


def _one(name: str, folder: Path, told: Callable[[str], None], *, again: bool) -> Finished:
    experiment: Experiment = EXPERIMENTS.load(name)
    cells = list(experiment.cells())
    source = Path(inspect.getfile(experiment.measure)).read_text(encoding="utf-8")
    store = Store(folder / CELLS, stamp_of(__version__, source))
    if again:
        store.clear()
    results: dict[str, Mapping[str, Any]] = {}
    for cell, result in _told(run(cells, functools.partial(_measure, name), store), told):
        results[cell.key] = result
        if len(results) % max(1, len(cells) // 10) == 0 or len(results) == len(cells):
            told(f"{name}: {len(results)} of {len(cells)}")
    ordered = {cell.key: results[cell.key] for cell in cells}
    return Finished(name, experiment, conclude(experiment, ordered), ordered)


def conclude(experiment: Experiment, results: Results) -> Conclusion:
    """What the results show; where parts failed that it needs, that there is no conclusion."""
    failed = failures(results)
    try:
        with sheet():
            return experiment.conclude(results)
    except Exception:
        if not failed:
            raise
        # What is missing is what it would have been concluded from.
        return Conclusion(f"No conclusion: {len(failed)} of {len(results)} parts failed.", [])


def _told(
    found: Iterator[tuple[Cell, dict[str, Any]]], told: Callable[[str], None]
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    for cell, result in found:
        if FAILED in result:
            told(f"{cell.key} failed: {result[FAILED]}")
        yield cell, result


def _measure(name: str, /, **arguments: Any) -> dict[str, Any]:
    """In a worker: one cell of an experiment."""
    return EXPERIMENTS.load(name).measure(**arguments)


def check_needs(names: Sequence[str]) -> None:
    """Make sure, before anything is computed, that all of it can be.

    Raises:
        UsageError: a package is missing; the sentence says how it is installed.
    """
    for name in names:
        experiment: Experiment = EXPERIMENTS.load(name)
        if experiment.needs and find_spec(experiment.needs[0]) is None:
            others = [other for other in EXPERIMENTS.names() if other != name]
            raise UsageError(
                f"experiment '{name}' needs {experiment.needs[1]}: pip install "
                f"'node-diag[experiments]'; without it there are: {', '.join(others)}."
            )


def check_folder(folder: Path) -> None:
    """Make sure, before anything is computed, that results can be kept.

    Raises:
        UsageError: they cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is not a folder; choose another one with --report-dir.")
    put(folder, {})

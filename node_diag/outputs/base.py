"""What an output is, and the one place that writes a report to disk."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from node_diag import parallel
from node_diag.garbage import uncollected
from node_diag.outputs.folder import check, replace
from node_diag.records import Report
from node_diag.registry import OUTPUTS


class Output(Protocol):
    """A format: one file in ``outputs/formats`` that defines ``OUTPUT``.

    One that shows figures says which kind in an attribute ``pictures``.
    """

    def render(self, report: Report) -> dict[str, bytes]:
        """Files by their path in the report folder, with forward slashes. Touches no disk."""
        ...


def prepare(folder: Path, *, force: bool = False) -> None:
    """Make sure, before a long run, that its report can be written.

    Raises:
        UsageError: the folder is not empty and may not be replaced, or cannot be written to.
    """
    check(folder, force=force)


def load(formats: Sequence[str]) -> None:
    """Import what the formats are drawn with, which takes longest; they are drawn with it later."""
    with uncollected():
        for name in formats:
            OUTPUTS.load(name)


def ahead(formats: Sequence[str]) -> parallel.Ahead | None:
    """A process that loads the formats while this one imports torch; None where that cannot be."""
    return parallel.Ahead(partial(_drawer, formats)) if parallel.can_get_ahead() else None


def _drawer(formats: Sequence[str]) -> Callable[[Report], dict[str, bytes]]:
    load(formats)
    for name in formats:
        if warm := getattr(OUTPUTS.load(name), "warm", None):
            warm()
    return lambda report: render(report, formats)


def write(
    report: Report,
    folder: Path,
    formats: Sequence[str],
    *,
    force: bool = False,
    drawer: parallel.Ahead | None = None,
) -> list[Path]:
    """Write a report folder; a reader sees the whole of it or nothing.

    Args:
        report: the record; report.json is written whatever the formats.
        folder: where to; created with its parents.
        formats: names from the ``OUTPUTS`` registry.
        force: replace an earlier report of node-diag in this folder.
        drawer: from :func:`ahead`, for the same formats.

    Returns:
        Paths of the files, report.json first.

    Raises:
        UsageError: an unknown format, a folder that may not be replaced, or one that cannot be
            written to.
    """
    files = _drawn(report, formats, drawer)
    replace(folder, files, force=force)
    return [folder / name for name in files]


def _drawn(
    report: Report, formats: Sequence[str], drawer: parallel.Ahead | None
) -> dict[str, bytes]:
    if drawer is not None:
        with suppress(ChildProcessError):  # then it is drawn here, and errors surface here
            return drawer.ask(report)
    return render(report, formats)


def render(report: Report, formats: Sequence[str]) -> dict[str, bytes]:
    """All files of a report folder by relative path; nothing is written.

    Raises:
        UsageError: an unknown format.
    """
    names = dict.fromkeys(["json", *(OUTPUTS.canonical(name) for name in formats)])
    with uncollected():
        # Loaded here, so that a fork need not import matplotlib a second time.
        outputs: dict[str, Output] = {name: OUTPUTS.load(name) for name in names}
        if kinds := [kind for o in outputs.values() if (kind := getattr(o, "pictures", None))]:
            from node_diag.outputs.drawing import drawings

            drawings(report, kinds)  # all that are wanted at once
        done = {name: output.render(report) for name, output in outputs.items()}
    files: dict[str, bytes] = {
        _inside(path): content for found in done.values() for path, content in found.items()
    }
    if report.arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **report.arrays)
        files["arrays.npz"] = buffer.getvalue()
    return files


def _inside(path: str) -> str:
    """The path, which has to stay in the folder: a plug-in that leaves it is a bug."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"an output wants to write outside the report folder: {path!r}")
    return path

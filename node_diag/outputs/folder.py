"""A folder that appears, or is replaced, as a whole."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from node_diag.errors import UsageError

RECORD = "report.json"
_OURS = frozenset({RECORD, "report.html", "report.md", "arrays.npz", "junit.xml"})
_FOLDERS = {"figures": ".png", "tables": ".csv"}
"""What a report folder holds: files, and folders of files of one kind."""


def check(folder: Path, *, force: bool) -> None:
    """Make sure that ``folder`` can be created or replaced; leaves nothing behind.

    Raises:
        UsageError: it may not be replaced, or its parent cannot be written to.
    """
    folder = folder.absolute()
    try:
        _may_replace(folder, force=force)
        missing = _missing_parents(folder)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            trial = _sibling(folder, "trial")
            trial.mkdir()
            trial.rmdir()
        finally:
            _remove_empty(missing)
    except OSError as error:
        raise _unwritable(folder, error) from error


def replace(folder: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """Put ``files`` (relative path → content) into ``folder``, which then holds nothing else.

    They are written next to it and renamed when complete. An earlier report goes away only once
    the new one is in its place, and comes back if that fails.

    Raises:
        UsageError: as in :func:`check`.
    """
    folder = folder.absolute()
    check(folder, force=force)
    missing, partial = _missing_parents(folder), _sibling(folder, "partial")
    try:
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _swap(partial, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        # Also after Ctrl-C: whatever happened, no half of a report is left.
        shutil.rmtree(partial, ignore_errors=True)
        _remove_empty(missing)


def _missing_parents(folder: Path) -> list[Path]:
    """Parents that do not exist yet, the innermost first."""
    return [parent for parent in folder.parents if not parent.exists()]


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those that are there and empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _swap(new: Path, folder: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    old = _sibling(folder, "old")
    folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sibling(folder: Path, purpose: str) -> Path:
    """A name nobody else uses, on the same file system, hidden from listings."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{purpose}")


def _may_replace(folder: Path, *, force: bool) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"'{folder}' is not a folder; choose another one with --report-dir.")
    present = [path.name for path in folder.iterdir()] if folder.exists() else []
    if not present:
        return
    strangers = [name for path in sorted(folder.iterdir()) for name in _strangers(path)]
    if RECORD not in present or strangers:
        what = f"'{strangers[0]}'" if strangers else f"no {RECORD}"
        raise UsageError(
            f"'{folder}' holds {what}, so it is not a report that may be replaced; "
            "choose another folder with --report-dir."
        )
    if not force:
        raise UsageError(f"'{folder}' holds a report already; pass --force to replace it.")


def _strangers(path: Path) -> list[str]:
    """What lies at this place of a report folder and is not part of a report."""
    if path.name in _FOLDERS and path.is_dir() and not path.is_symlink():
        kind = _FOLDERS[path.name]
        return [f"{path.name}/{p.name}" for p in path.iterdir() if p.suffix != kind or p.is_dir()]
    return [] if path.name in _OURS and path.is_file() else [path.name]


def _unwritable(folder: Path, error: OSError) -> UsageError:
    why = error.strerror or str(error)
    return UsageError(f"cannot write to '{folder}' ({why}); choose another --report-dir.")

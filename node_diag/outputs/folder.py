"""A folder that appears, or is replaced, as a whole."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from node_diag.errors import UsageError

RECORD = "report.json"
_OURS = frozenset({RECORD, "report.html", "report.md", "arrays.npz", "junit.xml"})
INDEX = frozenset({"summary.json", "index.html", "junit.xml"})
"""What lies beside the report folders of a run of several problems."""
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
    except OSError as error:
        raise _unwritable(folder, error) from error
    _try(folder)


def check_run(folder: Path, *, force: bool) -> None:
    """As :func:`check`, of a folder that is to hold the report folders of several problems.

    Raises:
        UsageError: it holds something else, or an earlier run and ``force`` is off, or cannot be
            written to.
    """
    folder = folder.absolute()
    try:
        present = sorted(folder.iterdir()) if folder.is_dir() else []
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"'{folder}' is not a folder; choose another one with --report-dir.")
        for path in present:
            if path.is_dir() and not path.is_symlink():
                _may_replace(path, force=True)
            elif path.name not in INDEX:
                raise UsageError(
                    f"'{folder}' holds '{path.name}', so it is not a run that may be replaced; "
                    "choose another folder with --report-dir."
                )
    except OSError as error:
        raise _unwritable(folder, error) from error
    if present and not force:
        raise UsageError(f"'{folder}' holds reports already; pass --force to replace them.")
    _try(folder)


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files beside the report folders of a run, each as a whole.

    Raises:
        UsageError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = _sibling(folder / name, "partial")
            try:
                partial.write_bytes(content)
                partial.replace(folder / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def put_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """As :func:`put`, by relative path.

    Raises:
        UsageError: it cannot be written to.
    """
    by_folder: dict[Path, dict[str, bytes]] = {}
    for path, content in contents.items():
        target = folder / path
        by_folder.setdefault(target.parent, {})[target.name] = content
    for parent, group in by_folder.items():
        put(parent, group)


def remove_others(folder: Path, keep: Collection[str], *files: str) -> None:
    """Remove figures and tables that are not among ``keep``, and of these files those that are not.

    Raises:
        UsageError: the folder cannot be written to.
    """
    ours = [path for name, kind in _FOLDERS.items() for path in (folder / name).glob(f"*{kind}")]
    kept = {folder / name for name in keep}
    try:
        for path in {*ours, *(folder / name for name in files)} - kept:
            path.unlink(missing_ok=True)
        for name in _FOLDERS:
            with suppress(OSError):  # not empty
                (folder / name).rmdir()
    except OSError as error:
        raise _unwritable(folder, error) from error


def prune(folder: Path, keep: Collection[str]) -> None:
    """Remove the reports of an earlier run of problems that the finished one does not have."""
    for path in folder.iterdir():
        if path.is_dir() and path.name not in keep:
            _may_replace(path, force=True)
            shutil.rmtree(path)
        elif path.name in INDEX and path.name not in keep:
            path.unlink()


def _try(folder: Path) -> None:
    """Make sure that a folder can be made there; leaves nothing behind."""
    try:
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

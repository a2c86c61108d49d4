"""Several problems in one run: each as if it were alone, and an index beside their reports."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from node_diag.complaints import complaints
from node_diag.errors import NodeDiagError
from node_diag.outputs.folder import check_run, prune, put
from node_diag.outputs.run_index import MISSING, Checked, Run, render
from node_diag.records import Report
from node_diag.session import Job, Plan, run
from node_diag.streams import Streams

BUG_CODE = 3


def run_all(
    plan: Plan,
    folder: Path,
    *,
    force: bool,
    streams: Streams,
    show: Callable[[Report], None],
) -> Run:
    """Check every problem; one that cannot run does not stop the others.

    Args:
        plan: what to check.
        folder: for the report folders and the index, which is kept up to date.
        force: replace an earlier run there.
        streams: for progress and for what went wrong.
        show: called with each report once it is written.

    Raises:
        UsageError: the folder cannot be used; nothing was checked.
        KeyboardInterrupt: the reports of the problems that were finished are there.
    """
    check_run(folder, force=force)
    formats = {name for job in plan.jobs for name in job.resolved.config.report}
    done: list[Checked] = []
    for number, job in enumerate(plan.jobs, 1):
        streams.note(f"{job.name} ({number} of {len(plan.jobs)})")
        try:
            with _isolated():
                checked = _checked(job, folder, force=force, streams=streams)
        except KeyboardInterrupt:
            if done:
                kept = f"the {len(done)} of {len(plan.jobs)} that were finished"
                complaints.kept = f"{folder} holds {kept}"
            raise
        done.append(checked)
        put(folder, render(Run(done, [], is_complete=False), formats))
        if checked.report:
            show(checked.report)
    for name in plan.missing:
        sys.stderr.write(f"error: {name}: {MISSING}\n")
    finished = Run(done, plan.missing, is_complete=True)
    files = render(finished, formats)
    put(folder, files)
    prune(folder, [*files, *(checked.name for checked in done if checked.report)])
    return finished


def _checked(job: Job, folder: Path, *, force: bool, streams: Streams) -> Checked:
    try:
        report = run(job, folder / job.name, force=force, streams=streams)
    except NodeDiagError as error:
        complaints.tell(error, job.name)
        return Checked(job.name, job.spec, error.exit_code, None, str(error))
    except Exception as error:
        complaints.tell_bug()
        return Checked(job.name, job.spec, BUG_CODE, None, f"{type(error).__name__}: {error}")
    return Checked(job.name, job.spec, report.summary.exit_code, report)


@contextmanager
def _isolated() -> Generator[None]:
    """What one problem's modules change for the whole process does not reach the next problem.

    Modules that lie beside it are forgotten: the next problem may have another ``model.py``.
    """
    torch = importlib.import_module("torch")
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    gradients, path, known = torch.is_grad_enabled(), sys.path[:], set(sys.modules)
    cwd = Path.cwd()
    try:
        yield
    finally:
        added = {Path(entry).resolve() for entry in sys.path} - {Path(p).resolve() for p in path}
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if _lies_in(sys.modules[name], added | {cwd}):
                del sys.modules[name]
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(gradients)
        os.chdir(cwd)


def _lies_in(module: ModuleType, folders: set[Path]) -> bool:
    """Whether a module is a person's own file in one of the folders, and nothing installed."""
    file = getattr(module, "__file__", None)
    if not file:
        return False
    above = set(Path(file).resolve().parents)
    installed = {Path(__file__).resolve().parent, Path(sys.prefix), Path(sys.base_prefix)}
    return bool(above & folders) and not above & installed

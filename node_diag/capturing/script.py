"""A training script, run until the call that is wanted has its gradient."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import torch

from node_diag.capturing.call import Call
from node_diag.capturing.watch import EnoughError, Watch, watching
from node_diag.errors import ProblemError, UsageError, reraise_interrupt, said


@cache
def run_script(path: str, args: str = "", call: int = 1) -> Call:
    """Run a training script until the wanted call has its gradient.

    Args:
        path: the script, or a module as ``python -m`` takes it.
        args: its arguments, as a shell would take them.
        call: the first call that is wanted, counting those that can be differentiated.

    Raises:
        UsageError: there is no such script, or ``call`` is no number from 1 on.
        ProblemError: it raised, or ended without such a call.
    """
    if call < 1:
        raise UsageError(f"--call {call}: calls are counted from 1")
    try:
        words = shlex.split(args)
    except ValueError as error:
        raise UsageError(f"--set args={args!r}: {error}") from error
    script, package = _found(path)
    watch = Watch(number=call, ends=True)
    with watching(watch):
        _execute(script, package, words, watch)
    if watch.call is None:
        raise ProblemError(_nothing(path, watch))
    return watch.call


def _nothing(path: str, watch: Watch) -> str:
    if not watch.seen:
        return (
            f"{path} ended without a call of torchdiffeq's odeint or odeint_adjoint that can be "
            "differentiated: there was none (one with an event does not count), or nothing in it "
            "required a gradient"
        )
    if watch.seen < watch.number:
        return f"{path} ended after {watch.seen} such calls, before call {watch.number}"
    return (
        f"{path} called torchdiffeq {watch.seen} times, but no gradient arrived at call "
        f"{watch.number} or later: was loss.backward() reached?"
    )


def _found(path: str) -> tuple[Path, str | None]:
    """The file of a script or of a module, and a module's package."""
    script = Path(path)
    if script.is_file():
        return script, None
    if not path.endswith(".py") and all(part.isidentifier() for part in path.split(".")):
        with patch.object(sys, "path", [str(Path.cwd()), *sys.path]):
            try:
                spec = find_spec(path)
            except ImportError as error:
                raise UsageError(f"there is no module '{path}': {said(error)}") from error
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return Path(spec.origin), spec.parent
    raise UsageError(f"there is no script '{path}'")


def _execute(script: Path, package: str | None, args: list[str], watch: Watch) -> None:
    """As ``python script args`` (of a package ``python -m``), up to the call that is wanted."""
    main = ModuleType("__main__")
    main.__file__, main.__package__ = str(script.absolute()), package  # as Python has it
    folder = str(Path.cwd() if package else script.parent.resolve())
    with ExitStack() as stack:
        stack.callback(os.chdir, Path.cwd())  # reports go where they were asked for
        stack.enter_context(patch.object(sys, "argv", [str(script), *args]))
        # Not patch.dict, which would take out again what the script imports.
        stack.callback(sys.modules.__setitem__, "__main__", sys.modules["__main__"])
        sys.modules["__main__"] = main
        stack.enter_context(patch.dict("os.environ", {"MPLBACKEND": "Agg"}))
        stack.enter_context(torch.enable_grad())
        if folder not in sys.path:  # and it stays: f may import its neighbours when it is called
            sys.path.insert(0, folder)
        try:
            code = compile(script.read_bytes(), str(script), "exec", dont_inherit=True)
            exec(code, main.__dict__)
        except EnoughError:
            return
        except BaseException as error:
            reraise_interrupt(error)
            if watch.call is not None:  # it failed behind the gradient, or made that of the end
                return
            if isinstance(error, SystemExit):
                if error.code in (None, 0):
                    return
                raise ProblemError(f"{script} ended with exit code {error.code}") from error
            raise ProblemError(f"{script} raised {said(error)}{_as_module(error)}") from error


def _as_module(error: BaseException) -> str:
    if isinstance(error, ImportError) and "no known parent package" in str(error):
        return "; it is part of a package: name it as a module, package.module"
    return ""

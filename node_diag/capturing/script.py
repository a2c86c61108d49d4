"""A training script, run until the call that is wanted has its gradient."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from functools import cache
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
        path: the script.
        args: its arguments, as a shell would take them.
        call: the first call that is wanted, counting those that can be differentiated.

    Raises:
        UsageError: there is no such script, or ``call`` is no number from 1 on.
        ProblemError: it raised, or ended without such a call.
    """
    script = Path(path)
    if not script.is_file():
        raise UsageError(f"there is no script '{path}'")
    if call < 1:
        raise UsageError(f"--call {call}: calls are counted from 1")
    watch = Watch(number=call, ends=True)
    with watching(watch):
        _execute(script, shlex.split(args))
    if watch.call is None:
        raise ProblemError(_nothing(path, watch))
    return watch.call


def _nothing(path: str, watch: Watch) -> str:
    if not watch.seen:
        return (
            f"{path} ended without a call of torchdiffeq's odeint or odeint_adjoint that can be "
            "differentiated: nothing in it required a gradient"
        )
    if watch.seen < watch.number:
        return f"{path} ended after {watch.seen} such calls, before call {watch.number}"
    return (
        f"{path} called torchdiffeq {watch.seen} times, but no gradient arrived at call "
        f"{watch.number} or later: was loss.backward() reached?"
    )


def _execute(script: Path, args: list[str]) -> None:
    """As ``python script args``, up to the call that is wanted."""
    main = ModuleType("__main__")
    main.__file__ = str(script)
    folder = str(script.parent.resolve())
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", [str(script), *args]))
        # Not patch.dict, which would take out again what the script imports.
        stack.callback(sys.modules.__setitem__, "__main__", sys.modules["__main__"])
        sys.modules["__main__"] = main
        stack.enter_context(patch.dict("os.environ", {"MPLBACKEND": "Agg"}))
        stack.enter_context(torch.enable_grad())
        if folder not in sys.path:  # and it stays: f may import its neighbours when it is called
            sys.path.insert(0, folder)
        try:
            code = compile(script.read_bytes(), str(script), "exec")
            exec(code, main.__dict__)
        except EnoughError:
            return
        except SystemExit as error:
            if error.code not in (None, 0):
                raise ProblemError(f"{script} ended with exit code {error.code}") from error
        except BaseException as error:
            reraise_interrupt(error)
            raise ProblemError(f"{script} raised {said(error)}") from error

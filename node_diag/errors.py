"""Errors that own their exit code; the command line catches them in one place."""

from __future__ import annotations

import math
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any


class NodeDiagError(Exception):
    """Something the person running node-diag can mend: one sentence, exit code 2."""

    exit_code = 2


class UsageError(NodeDiagError):
    """A wrong option, name or configuration key."""


class UnmatchedGateError(UsageError):
    """A gate on a method that is not run: known beforehand, and still a gate that did not pass."""

    exit_code = 1


class LostEngineError(NodeDiagError):
    """What computed cells is gone; those that were finished are kept."""


class ProblemError(NodeDiagError):
    """The problem module, its dynamics or its loss cannot be used.

    The traceback of the person's own code, if there is one, hangs on ``__cause__``.
    """


class BackwardError(ProblemError):
    """Autograd could not go backward; what was raised hangs on ``__cause__``."""


WRONG_CALL = "the gradient of this call is wrong"
"""How the failure of a captured call begins that is not made again, because it is wrong (ND214)."""


def reraise_interrupt(error: BaseException) -> None:
    """Let Ctrl-C and our own errors pass where anything else a person's code raises is caught.

    Anything: SystemExit would otherwise end a check with the exit code 0.
    """
    if isinstance(error, KeyboardInterrupt | NodeDiagError):
        raise error


class SolveError(Exception):
    """A solve that ended without an answer. A result, not a crash: it becomes a failed row.

    Attributes:
        t: time at which the solve gave up.
        reconstruction: (t, z̄) of the steps a reverse-time solve had made by then.
        hint: what may be the cause if it was the forward solve.
    """

    reason = "failed"

    def __init__(self, message: str, t: float) -> None:
        super().__init__(message)
        self.t = t
        self.reconstruction: list[tuple[float, list[float]]] = []
        self.hint = ""


class NonFiniteError(SolveError):
    """The state or its derivative became NaN or infinite."""

    reason = "non-finite"


class StepUnderflowError(SolveError):
    """The step fell below the spacing of floating-point numbers at t."""

    reason = "step underflow"


class RunawayError(SolveError):
    """A reverse-time state left the trajectory by far and takes ever more steps."""

    reason = "exploded"


class MaxStepsError(SolveError):
    """The solve needed more steps than allowed."""

    reason = "max steps"


class NoReferenceError(Exception):
    """A reference gradient could not be computed; the sentence says why.

    Attributes:
        details: what was found on the way, as plain data.
    """

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = details or {}


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Frames of the person's own code in a traceback: none of ours, our libraries' or Python's."""
    foreign = [str(Path(__file__).parent), "<frozen"]
    for name in ("torch", "numpy", "scipy"):
        if name in sys.modules:
            foreign.append(str(Path(sys.modules[name].__file__ or "").parent))
    frames = traceback.extract_tb(error.__traceback__)
    return [
        frame
        for frame in frames
        if not frame.filename.startswith(tuple(foreign)) and not _is_pythons(frame.filename)
    ]


def _is_pythons(file: str) -> bool:
    """Whether a file is of the standard library, in whose folder packages may be installed."""
    return file.startswith(sysconfig.get_path("stdlib")) and "-packages" not in file


def said(error: BaseException) -> str:
    """``ValueError: no data (mine.py, line 7)``: the first line, and where it was raised."""
    text = str(error).strip().split("\n")[0]
    name = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = own_frames(error)
    return (
        f"{name} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else name
    )


def moment(t: Any) -> float:
    """The time in a tensor; NaN under torch.func.vmap, where a tensor has no value."""
    try:
        return float(t.detach())
    except RuntimeError:
        return math.nan


def when(t: Any) -> str:
    """At what time f was evaluated, as the end of a clause; nothing if that is not known."""
    at = moment(t)
    return "" if math.isnan(at) else f" at t = {at:.6g}"

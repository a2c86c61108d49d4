"""Errors that own their exit code; the command line catches them in one place."""

from __future__ import annotations


class NodeDiagError(Exception):
    """Something the person running node-diag can mend: one sentence, exit code 2."""

    exit_code = 2


class UsageError(NodeDiagError):
    """A wrong option, name or configuration key."""


class ProblemError(NodeDiagError):
    """The problem module, its dynamics or its loss cannot be used.

    The traceback of the person's own code, if there is one, hangs on ``__cause__``.
    """


class SolveError(Exception):
    """A solve that ended without an answer. A result, not a crash: it becomes a failed row.

    Attributes:
        t: time at which the solve gave up.
        nfe: evaluations of f spent until then, if known.
    """

    reason = "failed"

    def __init__(self, message: str, t: float) -> None:
        super().__init__(message)
        self.t = t


class NonFiniteError(SolveError):
    """The state or its derivative became NaN or infinite."""

    reason = "non-finite"


class StepUnderflowError(SolveError):
    """The step fell below the spacing of floating-point numbers at t."""

    reason = "step underflow"


class MaxStepsError(SolveError):
    """The solve needed more steps than allowed."""

    reason = "max steps"


class NoReferenceError(Exception):
    """A reference gradient could not be computed; the sentence says why."""

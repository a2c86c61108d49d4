"""A captured call that ran under autocast, made again without: what is left of its error."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace

from node_diag.capturing.call import Call
from node_diag.errors import ProblemError, SolveError
from node_diag.gradients.base import GradientMethod, Setup, run
from node_diag.inspection.adjoint_tolerance import error_of
from node_diag.problem import Problem
from node_diag.records import Autocast
from node_diag.references.base import Reference


def ran_under(name: str, problem: Problem) -> bool:
    """Whether a method is a captured call under autocast; not in float64, which that leaves."""
    call = problem.call
    if not isinstance(call, Call) or call.checked_by != name or not problem.dtype.itemsize < 8:
        return False
    return call.autocast is not None or call.autocast_back is not None


def inspect(
    named: tuple[str, GradientMethod], problem: Problem, setup: Setup, truth: Reference
) -> Autocast:
    """The error of the same call without autocast, if it goes through.

    Args:
        named: what the method is called, and the method.
        problem: as it is checked, of a call that :func:`ran_under` one.
        setup: of the check.
        truth: continuous reference.
    """
    call: Call = problem.call
    entered = call.autocast or call.autocast_back
    assert entered is not None
    found = Autocast(dtype=str(entered[1]).removeprefix("torch."))
    plain = copy.copy(problem)
    plain.call = replace(call, autocast=None, autocast_back=None)
    with suppress(SolveError, ProblemError):
        found.without, found.uncertainty = error_of(run(*named, plain, setup), truth)
    return found

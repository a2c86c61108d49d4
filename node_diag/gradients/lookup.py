"""Name of a gradient method → the method: a built-in one, or one in the user's own file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from node_diag.errors import NodeDiagError, ProblemError, SolveError, reraise_interrupt, said
from node_diag.field import Field
from node_diag.gradients.base import Backward, Gradient, GradientMethod, Setup, Tape
from node_diag.gradients.callables import GradientFunction
from node_diag.loader import load_object
from node_diag.registry import METHODS, is_file
from node_diag.solvers.solution import Solution

IMPORT = "import it from node_diag.gradients.base, as docs/own_method.md does"


def method_of(name: str) -> GradientMethod:
    """The method that ``name`` or ``path/to/file.py[:ATTRIBUTE]`` means.

    Raises:
        UsageError: there is no such file or attribute.
        ProblemError: the file raises, or what it holds has no ``forward`` and ``backward``.
    """
    if not is_file(name):
        return METHODS.load(name)
    found = load_object(name, METHODS.attribute)
    if isinstance(found, type):
        raise ProblemError(
            f"'{name}' is the class {found.__name__}; make an object of it: "
            f"{METHODS.attribute} = {found.__name__}()"
        )
    if inspect.isroutine(found):
        return UserFunction(found)
    for part in ("forward", "backward"):
        if not callable(getattr(found, part, None)):
            raise ProblemError(
                f"'{name}' is no gradient method: it has no {part}(...); it needs forward(field, "
                "z0, ts, setup) -> Tape and backward(tape, cotangents) -> Backward, or be a "
                "function(problem) -> (loss, gradients)"
            )
    discrete = bool(getattr(found, "discrete", True))
    return UserMethod(
        found,
        discrete=discrete,
        constant_steps=bool(getattr(found, "constant_steps", discrete)),
        reconstructs=bool(getattr(found, "reconstructs", False)),
    )


def description_of(name: str) -> str:
    """One line on a method."""
    return f"from {name}" if is_file(name) else METHODS.descriptions()[name]


@dataclass(frozen=True)
class UserMethod:
    """A method from the user's file; what it returns is looked at before it is believed."""

    method: Any
    discrete: bool
    constant_steps: bool
    reconstructs: bool

    def forward(self, field: Field, z0: Tensor, ts: Tensor, setup: Setup) -> Tape:
        """Its own forward pass."""
        tape = _contained("forward", lambda: self.method.forward(field, z0, ts, setup))
        if not isinstance(tape, Tape):
            raise ProblemError(f"forward returned a {type(tape).__name__}, not a Tape; {IMPORT}")
        if not isinstance(cast("Any", tape.solution), Solution):
            raise ProblemError(
                f"forward's Tape holds a {type(tape.solution).__name__}, no Solution, as "
                "node_diag.solvers.integrate.integrate returns it"
            )
        return tape

    def backward(self, tape: Tape, cotangents: Tensor) -> Backward:
        """Its own backward pass."""
        before = {name: p.detach().clone() for name, p in tape.field.params.items()}
        found = _contained("backward", lambda: self.method.backward(tape, cotangents))
        if not isinstance(found, Backward):
            raise ProblemError(
                f"backward returned a {type(found).__name__}, not a Backward; {IMPORT}"
            )
        _refuse_changes(tape.field, before)
        return _contained("what backward returned", lambda: _checked(found, tape))


class UserFunction(UserMethod):
    """A function from the user's file that gives loss and gradient in one go."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(
            GradientFunction(function), discrete=False, constant_steps=False, reconstructs=False
        )

    def whole(self, f: Field, setup: Setup) -> tuple[float, Backward]:
        """Its loss and gradient."""
        before = {name: p.detach().clone() for name, p in f.params.items()}
        found = _contained("the function", lambda: self.method.whole(f, setup))
        _refuse_changes(f, before)
        return found


def _refuse_changes(f: Field, before: Mapping[str, Tensor]) -> None:
    for name, p in f.params.items():
        if not torch.equal(p.detach(), before[name]):
            raise ProblemError(f"it changed the parameter {name}, which it was to differentiate")


def _checked(found: Backward, tape: Tape) -> Backward:
    """The same gradient with its parameters in the order of the problem's.

    Raises:
        ProblemError: a part is missing, is no real tensor or has another size, or there is one too
            many.
    """
    gradient, params = found.gradient, dict(found.gradient.params)
    strangers = [name for name in params if name not in tape.field.params]
    if strangers:
        raise ProblemError(
            f"backward returned a gradient for '{strangers[0]}', which is no parameter; there are: "
            f"{', '.join(tape.field.params) or 'none'}"
        )
    expected = {"z0": tape.z0, "ts": tape.ts, **tape.field.params}
    given: dict[str, Any] = {"z0": gradient.z0, "ts": gradient.ts, **params}
    for name, like in expected.items():
        value = given.get(name)
        if not isinstance(value, Tensor):
            what = f"that is a {type(value).__name__}"
        elif value.numel() != like.numel():
            what = f"of shape {tuple(value.shape)}"
        elif not value.is_floating_point():
            what = f"of {value.dtype}"
        else:
            continue
        raise ProblemError(
            f"backward returned a gradient {what} for {name}, which has shape {tuple(like.shape)}"
        )
    ordered = {
        name: params[name].detach().reshape(p.shape) for name, p in tape.field.params.items()
    }
    own = Gradient(gradient.z0.detach().reshape(-1), gradient.ts.detach().reshape(-1), ordered)
    path = [(float(t), [float(x) for x in z]) for t, z in found.reconstruction]
    return Backward(
        own, int(found.n_steps), int(found.n_rejected), path, knows_times=found.knows_times
    )


def _contained(part: str, call: Callable[[], Any]) -> Any:
    try:
        with torch.enable_grad():
            return call()
    except (NodeDiagError, SolveError):
        raise
    except BaseException as error:
        reraise_interrupt(error)
        raise ProblemError(f"{part} raised {said(error)}") from error

"""The true gradient of a problem with its uncertainty, as a check finds it, for experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from node_diag import Problem
    from node_diag.gradients.base import Gradient, MethodRun


def true_gradient(problem: Problem) -> tuple[list[float], float]:
    """dL/dz0 and all dL/dθ in a row, and the L2 uncertainty relative to their norm.

    Raises:
        ValueError: there is no continuous reference.
    """
    from node_diag import check

    report = check(problem, methods=("aca",), rtol=1e-8, repeat=1)
    found = report.references.continuous
    if found.kind == "none":
        raise ValueError(f"no true gradient: {found.reason}")
    parts: list[Any] = [found.gradient.z0, *found.gradient.params.values()]
    return [float(x) for part in parts for x in part], float(found.uncertainty)


def recorded(problem: Problem, method: str, **options: Any) -> MethodRun:
    """A method's gradient with its reconstruction and trail, where it has them."""
    from node_diag.config import resolve
    from node_diag.gradients.base import run
    from node_diag.preparation import make_setup
    from node_diag.registry import METHODS

    setup = make_setup(problem, resolve(options, {}, None).config)
    return run(method, METHODS.load(method), problem, replace(setup, record=True))


def flat(gradient: Gradient) -> Tensor:
    """A method's gradient in the same order."""
    import torch

    parts = [gradient.z0, *gradient.params.values()]
    return torch.cat([part.detach().reshape(-1) for part in parts])


def distance(a: Any, b: Any) -> float:
    """‖a − b‖ / ‖b‖."""
    import torch

    x, y = (torch.as_tensor(v, dtype=torch.float64) for v in (a, b))
    return float((x - y).norm() / y.norm())

"""Gradients for experiments: the true one with its uncertainty, and a method's."""

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
        NoReferenceError: they cannot be known.
    """
    from node_diag.norms import norm
    from node_diag.references.base import slices
    from node_diag.references.sensitivity import sensitivity_reference

    found, end = sensitivity_reference(problem), slices(problem)["ts"].start
    return found.value[:end].tolist(), norm(found.bar[:end]) / norm(found.value[:end])


def recorded(problem: Problem, method: str, **options: Any) -> MethodRun:
    """A method's gradient with its reconstruction and trail, where it has them."""
    from node_diag.config_sources import resolve
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

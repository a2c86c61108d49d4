"""node-diag: is the gradient your Neural ODE trains on right?

Everything here is loaded on first use, so that ``import node_diag`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from node_diag.api import capture, check, check_model, gradient, solve
    from node_diag.gradients.callables import from_solver
    from node_diag.monitor import Monitor
    from node_diag.problem import Problem

__version__ = "0.1.0"
__all__ = [
    "Monitor",
    "Problem",
    "__version__",
    "capture",
    "check",
    "check_model",
    "from_solver",
    "gradient",
    "solve",
]

_HOMES = {
    "Monitor": "monitor",
    "Problem": "problem",
    "capture": "api",
    "check": "api",
    "check_model": "api",
    "from_solver": "gradients.callables",
    "gradient": "api",
    "solve": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'node_diag' has no attribute '{name}'")
    import random

    drawn = random.getstate()  # rich draws a number when it is imported
    home = import_module(f"node_diag.{_HOMES[name]}")
    random.setstate(drawn)
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Steps that resolve the sensitivities as well as the state.

A controller that looks at z alone does not control ∂z/∂z0 and ∂z/∂θ: at an equilibrium its error
estimate is zero, steps grow without bound, and the derivative of the accepted steps is wrong at
every tolerance. Here two tangents, one along a random direction in z0 and one in θ, are solved with
z, and a step is accepted when its error is within tolerance for all three.

    dw/dt = (∂f/∂z) w + (∂f/∂θ) v

The products are central differences of f along (w, v): four more evaluations for each stage, right
to about 1e-9, which is plenty for an error estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from node_diag.solvers.controller import Tolerance

if TYPE_CHECKING:
    from node_diag.field import Field

EVALUATIONS = 5
"""Of f for each evaluation of z and its tangents; three without parameters."""


@dataclass(frozen=True)
class TangentTolerance(Tolerance):
    """Mixed tolerance for z; each tangent's error is relative to the tangent's own norm.

    A tangent has no scale of its own: what counts is dL/dz0 = (∂L/∂z)ᵀ ∂z/∂z0 to a relative rtol,
    however small it gets.
    """

    n_state: int = 0

    def ratio(self, error: Tensor, z: Tensor, z1: Tensor) -> Tensor:
        """The largest of the ratios of z and its tangents."""
        n = self.n_state
        found = [super().ratio(error[:n], z[:n], z1[:n])]
        blocks = zip(error[n:].split(n), z[n:].split(n), z1[n:].split(n), strict=True)
        for part, before, after in blocks:
            size = torch.maximum(_length(before), _length(after))
            found.append(_length(part) / (self.rtol * size) if size else torch.zeros_like(size))
        return torch.stack(found).amax()

    def size(self, x: Tensor, z: Tensor) -> Tensor:
        """Norm of x in units of the tolerance at z, for the starting step."""
        n = self.n_state
        found = [super().size(x[:n], z[:n])]
        for part, tangent in zip(x[n:].split(n), z[n:].split(n), strict=True):
            size = _length(tangent)
            found.append(_length(part) / (self.rtol * size) if size else torch.zeros_like(size))
        return torch.stack(found).amax()


def with_tangents(f: Field, z0: Tensor) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
    """(z, w, w') ↦ their time derivatives, and where they start; every evaluation of f is counted.

    The tangent along θ starts from zero.
    """
    generator = torch.Generator().manual_seed(0)
    n = z0.numel()
    params = {name: p.detach() for name, p in f.params.items()}
    line = {name: _direction(p, generator) for name, p in params.items()}
    reach = float(torch.stack([p.abs().amax() for p in params.values()]).amax()) if params else 0.0
    start = [z0, _direction(z0, generator)] + ([torch.zeros_like(z0)] if params else [])

    def dynamics(t: Tensor, y: Tensor) -> Tensor:
        z, w, *rest = y.split(n)
        found = [f(t, z), _quotient(f, t, z, w, {}, {}, 0.0)]
        found += [_quotient(f, t, z, other, params, line, reach) for other in rest]
        return torch.cat(found)

    return dynamics, torch.cat(start)


def _quotient(
    f: Field,
    t: Tensor,
    z: Tensor,
    w: Tensor,
    params: dict[str, Tensor],
    line: dict[str, Tensor],
    reach: float,
) -> Tensor:
    """(∂f/∂z) w + (∂f/∂θ) v by a central difference as long as suits its precision."""
    step = torch.finfo(z.dtype).eps ** (1 / 3) * max(1.0, float(z.abs().amax()), reach)
    longest = max(float(_length(w)), 1.0 if line else 0.0)
    step = step / longest if longest else step
    ends: list[Tensor] = []
    for sign in (1, -1):
        f.nfe += 1
        moved = {name: p + sign * step * line[name] for name, p in params.items()}
        call = f.with_params(moved or {name: p.detach() for name, p in f.params.items()})
        ends.append(call(t, z + sign * step * w))
    return (ends[0] - ends[1]) / (2 * step)


def _direction(x: Tensor, generator: torch.Generator) -> Tensor:
    line = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    return line / torch.linalg.vector_norm(line)


def _length(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x)

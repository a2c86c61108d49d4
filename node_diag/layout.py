"""States of any shape, and the one flat vector that is solved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

State = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Layout:
    """How a state (a tensor of any shape, or a tuple of tensors) lies in one flat vector."""

    shapes: tuple[torch.Size, ...]
    is_tuple: bool

    @property
    def sizes(self) -> list[int]:
        """Numbers of entries of the parts."""
        return [shape.numel() for shape in self.shapes]

    @property
    def numel(self) -> int:
        """D, the length of the flat state."""
        return sum(self.sizes)

    @property
    def is_vector(self) -> bool:
        """Whether the flat state is the state itself."""
        return not self.is_tuple and len(self.shapes[0]) == 1

    def flatten(self, state: State, lead: int = 0) -> Tensor:
        """(…lead, *shape) or a tuple of such → (…lead, D)."""
        parts = state if isinstance(state, tuple | list) else (state,)
        flat = [part.reshape(*part.shape[:lead], -1) for part in parts]
        return torch.cat(flat, dim=-1) if self.is_tuple else flat[0]

    def unflatten(self, flat: Tensor) -> State:
        """(…, D) → (…, *shape), or a tuple of such."""
        # A view made without gradients says that it requires one, and nothing can be
        # differentiated in it: f may want dH/dz, and ask z.requires_grad first.
        if flat.requires_grad and not torch.is_grad_enabled():
            flat = flat.detach()
        lead = flat.shape[:-1]
        if not self.is_tuple:
            return flat.reshape((*lead, *self.shapes[0]))
        parts = flat.split(self.sizes, dim=-1)
        return tuple(
            part.reshape((*lead, *shape)) for part, shape in zip(parts, self.shapes, strict=True)
        )

"""Whether the states of a solve stay finite, without making a GPU wait at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from node_diag.errors import NonFiniteError

UNSEEN = 64
"""Steps on a GPU after which the host looks at whether they were finite."""


class Finiteness:
    """Looks at every state of a solve; on a GPU at many at once, so that it keeps its queue full.

    Args:
        device: that of the states.
    """

    def __init__(self, device: torch.device) -> None:
        self._every = 1 if device.type == "cpu" else UNSEEN
        self._flags: list[tuple[float, Tensor]] = []

    def note(self, t: float, z: Tensor) -> None:
        """A state z (D,) at t.

        Raises:
            NonFiniteError: this state, or one that was not looked at yet, is NaN or infinite.
        """
        self._flags.append((t, torch.isfinite(z).all()))
        if len(self._flags) >= self._every:
            self.look()

    def look(self) -> None:
        """Look at those that were not looked at yet.

        Raises:
            NonFiniteError: at the first that is NaN or infinite.
        """
        flags, self._flags = self._flags, []
        if len(flags) > 1 and bool(torch.stack([flag for _, flag in flags]).all()):
            return
        for t, flag in flags:
            if not bool(flag):
                raise NonFiniteError(f"the state is NaN or infinite at t = {t}", t)

"""Norms that neither overflow nor underflow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def norm(x: NDArray[np.float64]) -> float:
    """‖x‖₂, also of entries whose squares are no floating-point numbers; 0 of nothing."""
    largest = float(np.max(np.abs(x))) if x.size else 0.0
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(x / largest))

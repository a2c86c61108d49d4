"""Random orthonormal directions, and what a difference seen along a few of them says of the whole.

The directions are isotropic in coordinates y = x / s, where s makes every tensor's gradient equally
large: s_i = 1 / ‖r_t‖ for the entries of tensor t. In them the error of a gradient r is e with
‖e‖² = Σ_t (‖r_t − g_t‖ / ‖r_t‖)², so an error of 10 % in any one tensor, however small a part of
the gradient it is, makes ‖e‖ ≥ 0.1. The part of ‖e‖² that k random orthonormal directions in n
dimensions see is distributed as Beta(k/2, (n − k)/2). Its quantile at one in a thousand turns what
was seen into an upper bound of ‖e‖, right with 99.9 % confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from node_diag.errors import NoReferenceError
from node_diag.norms import norm
from node_diag.references.base import Vector

MISSED = 1e-3
"""Probability with which the bound may be too small."""
TINY = 1e-6
"""A tensor whose gradient is a smaller part of the whole is measured against this part."""


def block_sizes(value: Vector, blocks: Mapping[str, slice]) -> dict[str, float]:
    """‖r_t‖ of every tensor, but at least a small part of the whole."""
    floor = TINY * norm(np.concatenate([value[part] for part in blocks.values()]))
    sizes = {name: max(norm(value[part]), floor) for name, part in blocks.items()}
    if not all(math.isfinite(size) for size in sizes.values()):
        raise NoReferenceError("the gradient of the accepted steps is not finite")
    return {name: size or 1.0 for name, size in sizes.items()}


def random_frame(n: int, count: int, seed: int = 0) -> Vector:
    """Random orthonormal directions (count, n), uniform over all such frames."""
    gaussian = np.random.default_rng(seed).standard_normal((n, min(count, n)))
    q, r = np.linalg.qr(gaussian)
    return (q * np.sign(np.diag(r))).T


def error_bound(seen: Vector, n: int) -> float:
    """Upper bound of ‖e‖ from |v·e| along k orthonormal directions, with confidence 1 − MISSED."""
    from scipy.special import betaincinv

    k = seen.size
    part = 1.0 if k >= n else float(betaincinv(k / 2, (n - k) / 2, MISSED))
    return norm(seen) / math.sqrt(part)


def weights(sizes: Mapping[str, float], blocks: Mapping[str, slice], n: int) -> Vector:
    """1/‖r_t‖ for every entry: it turns a direction in y into weights on the error in x."""
    found = np.empty(n)
    for name, part in blocks.items():
        found[part] = 1 / sizes[name]
    return found

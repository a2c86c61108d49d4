"""Distances between a gradient and a reference, with the uncertainty carried through."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from node_diag.norms import norm
from node_diag.records import ErrorRecord, ParameterError, TimesError, label, time_name

Vector = NDArray[np.float64]
NOTICEABLE = 1e-2
"""Relative error above which a gradient is called off, and its origin is looked for; of a state, or
of a component of it, from which it is another one."""
WRONG = 1e-1
"""Relative error above which a gradient, or one tensor of it, is called wrong."""
KNOWN = 1e-1
"""Relative uncertainty above which the truth of a tensor is too little known to call it wrong."""
FLOOR = 1e-5
"""Part of the whole gradient that an error in one tensor has to make to count: what the usual
tolerance leaves. Where the flow contracts, dL/dz0 itself may be less than that."""
TIMES = ("t0", "t1")
"""Entries of ``by_parameter`` that are no tensors."""


def compare(
    gradient: Vector, reference: Vector, bar: Vector, parts: Mapping[str, slice]
) -> ErrorRecord:
    """Error of a flat gradient (z0, parameters, times) against a reference of the same layout.

    Args:
        gradient: (n,).
        reference: (n,).
        bar: absolute uncertainty of every entry of the reference, (n,).
        parts: where z0, each parameter and ``ts`` lie. z0 and the parameters together make the
            error; t0 and t1 are reported apart, and all times together once more.
    """
    main = slice(0, parts["ts"].start)
    g, r = gradient[main], reference[main]
    relative, uncertainty = _relative(g, r, bar[main])
    by_parameter = {
        label(name): _part(gradient[part], reference[part], bar[part])
        for name, part in parts.items()
        if name != "ts"
    }
    for name, index in (("t0", parts["ts"].start), ("t1", parts["ts"].stop - 1)):
        one = slice(index, index + 1)
        by_parameter[name] = _part(gradient[one], reference[one], bar[one])
    size_g, size_r = norm(g), norm(r)
    known = size_r > norm(bar[main]) and math.isfinite(size_g) and size_g > 0
    return ErrorRecord(
        relative_l2=relative,
        uncertainty=uncertainty,
        absolute_l2=norm(g - r),
        max_abs=_largest(g - r),
        cosine=float(np.clip(g / size_g @ (r / size_r), -1, 1)) if known else None,
        norm_ratio=size_g / size_r if known else None,
        by_parameter=by_parameter,
        worst_tensor=worst_tensor(by_parameter),
        times=_times(*(x[parts["ts"]] for x in (gradient, reference, bar))),
    )


def worst_tensor(by_parameter: Mapping[str, ParameterError]) -> str | None:
    """The tensor whose relative error is certainly the largest; times are none.

    Certain is what remains of an error after its uncertainty: a tensor whose true gradient is
    hardly told from zero has a large relative error that says nothing.
    """
    known = {
        name: part.relative_l2 - (part.uncertainty or 0.0)
        for name, part in by_parameter.items()
        if name not in TIMES and part.relative_l2 is not None
    }
    return max(known, key=lambda name: _nan_first(known[name]), default=None)


def hidden(error: ErrorRecord | None, least: float = WRONG) -> dict[str, ParameterError]:
    """Parts that are wrong for certain though the whole gradient is not, the worst first.

    Wrong is what is off by more than ``least`` of its own size.

    A tensor whose gradient is a small part of the whole may be wrong without moving the norm of
    all. The truth must know it to a tenth: else it may as well be zero. Times are no part of that:
    how they move the steps is a convention.
    """
    if error is None or error.relative_l2 is None or not error.relative_l2 <= WRONG:
        return {}
    whole = error.absolute_l2 / error.relative_l2 if error.relative_l2 else 0.0
    wrong = {
        name: part
        for name, part in error.by_parameter.items()
        if name not in TIMES and is_wrong(part, least) and (part.absolute_l2 or 0.0) > FLOOR * whole
    }
    return dict(sorted(wrong.items(), key=lambda pair: -(pair[1].relative_l2 or 0.0)))


def is_wrong(part: ParameterError | None, least: float = WRONG) -> bool:
    """Whether one part is certainly off by more than ``least`` of its own true gradient."""
    if part is None:
        return False
    relative, uncertainty = part.relative_l2, part.uncertainty
    if relative is None or uncertainty is None:
        return False
    # A truth known to u gives an error e that is known to u (1 + e).
    return relative - uncertainty > least and uncertainty <= KNOWN * (1 + relative)


def _times(g: Vector, r: Vector, bar: Vector) -> TimesError | None:
    """Error in dL/dts as one vector, over the times in which the reference is known."""
    known = np.isfinite(r) & np.isfinite(bar)
    if not known.any():
        return None
    gaps = np.where(known, np.abs(g - r), 0.0)
    worst = int(np.argmax(np.where(np.isnan(gaps), np.inf, gaps)))
    part = _part(g[known], r[known], bar[known])
    return TimesError(**part.model_dump(), worst=time_name(worst, len(g)))


def _part(g: Vector, r: Vector, bar: Vector) -> ParameterError:
    relative, uncertainty = _relative(g, r, bar)
    return ParameterError(
        relative_l2=relative,
        max_abs=_largest(g - r),
        uncertainty=uncertainty,
        absolute_l2=norm(g - r),
    )


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _relative(g: Vector, r: Vector, bar: Vector) -> tuple[float | None, float]:
    """‖g − r‖/‖r‖ and its uncertainty; (None, absolute uncertainty) for a reference that is zero.

    With ‖r‖ known to ±u, e/‖r‖ is known to (u + u e/‖r‖)/‖r‖ in first order.
    """
    size, u = norm(r), norm(bar)
    if size <= u or u == math.inf:
        return None, u
    relative = norm(g - r) / size
    return relative, u / size * (1 + (relative if math.isfinite(relative) else 0.0))


def _largest(x: Vector) -> float:
    return float(np.max(np.abs(x))) if x.size else 0.0

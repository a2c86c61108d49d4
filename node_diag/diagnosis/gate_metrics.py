"""What a gate may limit, and a baseline is held against: numbers of a method with uncertainties."""

from __future__ import annotations

import math
from collections.abc import Callable

from node_diag.diagnosis.metrics import TIMES
from node_diag.records import ErrorRecord, MethodRecord, ParameterError, TimesError, time_name

Value = tuple[float | None, float]
"""A metric's value, None if it does not exist, and its uncertainty."""


Pick = Callable[[MethodRecord], ErrorRecord | TimesError | None]


def _error(pick: Pick) -> Callable[[MethodRecord], Value]:
    def value(method: MethodRecord) -> Value:
        record = pick(method)
        return (record.judged, record.uncertainty or 0.0) if record else (None, 0.0)

    return value


def _gradient(metric: Callable[[MethodRecord], Value]) -> Callable[[MethodRecord], Value]:
    """An error of the gradient: a derivative in a time that is NaN keeps the whole from passing."""

    def value(method: MethodRecord) -> Value:
        found = metric(method)
        return found if found[0] is None or not bad_times(method) else (math.nan, math.nan)

    return value


def _continuous(method: MethodRecord) -> ErrorRecord | None:
    return method.errors.continuous if method.errors else None


def _discrete(method: MethodRecord) -> ErrorRecord | None:
    return method.errors.discrete if method.errors else None


def bad_times(method: MethodRecord) -> list[str]:
    """Times in which a gradient is NaN or infinite: ``t0``, ``ts[3]``."""
    values = method.gradient.ts if method.gradient else []
    return [time_name(k, len(values)) for k, x in enumerate(values) if not math.isfinite(x)]


def _times(method: MethodRecord) -> TimesError | None:
    record = _continuous(method)
    return record.times if record else None


def _worst_tensor(method: MethodRecord) -> Value:
    """The tensor that is furthest from passing: with the largest error and uncertainty together.

    One whose true gradient is zero is judged beside the whole gradient.
    """
    record = _continuous(method)
    if record is None:
        return None, 0.0
    tensors = [part for name, part in record.by_parameter.items() if name not in TIMES]
    values = [_beside(record, part) for part in tensors]
    return max(values, key=lambda v: math.inf if math.isnan(sum(v)) else sum(v), default=(0.0, 0.0))


def _beside(record: ErrorRecord, part: ParameterError) -> tuple[float, float]:
    if part.relative_l2 is not None:
        return part.relative_l2, part.uncertainty or 0.0
    whole, uncertainty = record.judged or 0.0, record.uncertainty or 0.0
    if part.absolute_l2 is None or not record.absolute_l2:
        return whole, uncertainty
    return whole * part.absolute_l2 / record.absolute_l2, uncertainty


def _cost(name: str) -> Callable[[MethodRecord], Value]:
    return lambda method: (getattr(method.cost, name) if method.cost else None, 0.0)


def _reconstruction(name: str) -> Callable[[MethodRecord], Value]:
    return lambda method: (
        getattr(method.reconstruction, name) if method.reconstruction else None,
        0.0,
    )


def _taylor(method: MethodRecord) -> Value:
    """The worst of its lines."""
    worst = max(method.taylor, key=lambda test: test.odd_part, default=None)
    return (worst.odd_part, worst.uncertainty or 0.0) if worst else (None, 0.0)


METRICS: dict[str, Callable[[MethodRecord], Value]] = {
    "grad_error": _gradient(_error(_continuous)),
    "grad_error_discrete": _gradient(_error(_discrete)),
    "worst_tensor_error": _gradient(_worst_tensor),
    "times_error": _gradient(_error(_times)),
    "taylor_error": _taylor,
    "hvp_error": _error(lambda m: m.second_order.error if m.second_order else None),
    "reconstruction_error": _reconstruction("max_error"),
    "initial_error": _reconstruction("initial_error"),
    **{
        name: _cost(name)
        for name in (
            "nfe_forward",
            "nfe_backward",
            "n_steps_backward",
            "saved_bytes",
            "peak_bytes",
            "graph_depth",
            "forward_s",
            "backward_s",
        )
    },
}
"""By name; what each is, is in :mod:`..metric_names`."""

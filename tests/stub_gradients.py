"""Gradients of the stock report, and their errors: computed, so that the record agrees."""

from __future__ import annotations

from typing import Any, Literal

from node_diag.records import ErrorRecord, GradientRecord, ParameterError, ReferenceRecord
from tests.stub_series import State, norm

Kind = Literal["exact", "sensitivity", "finite-difference"]


def gradient(z0: State, mu: float, t0: float, t1: float) -> GradientRecord:
    """A van der Pol gradient."""
    return GradientRecord(z0=list(z0), t0=t0, t1=t1, ts=[t0, t1], params={"mu": [mu]})


TRUTH = gradient((3.66155497, 0.6291383), 3.78914636, 1.25816, -1.25832)
DISCRETE = gradient((3.66260843, 0.62931592), 3.78986617, 1.25832, -1.25832)
GRADIENTS = {
    "adjoint": gradient((-4756568.76, 5240595.86), -25.8887, 1.0481e7, -1.25832),
    "aca": DISCRETE,
    "naive": gradient((3.7022, 0.6429), 3.8772, 1.25832, -1.25832),
}


def vector(g: GradientRecord) -> list[float]:
    """z0 and all parameters, one after the other."""
    return [*(g.z0 or []), *(x for p in g.params.values() for x in p or [])]


def difference(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def tensor_error(ours: list[float], truth: list[float], bar: float) -> ParameterError:
    gap = difference(ours, truth)
    return ParameterError(
        relative_l2=norm(gap) / norm(truth),
        max_abs=max(map(abs, gap)),
        uncertainty=bar / norm(truth) * (1 + norm(gap) / norm(truth)),
    )


def error(ours: GradientRecord, truth: GradientRecord, bar: float) -> ErrorRecord:
    """Distance of a gradient from a reference known to the absolute L2 uncertainty ``bar``."""
    a, b = vector(ours), vector(truth)
    gap = difference(a, b)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return ErrorRecord(
        relative_l2=norm(gap) / norm(b),
        uncertainty=bar / norm(b) * (1 + norm(gap) / norm(b)),
        absolute_l2=norm(gap),
        max_abs=max(map(abs, gap)),
        cosine=dot / (norm(a) * norm(b)),
        norm_ratio=norm(a) / norm(b),
        by_parameter={
            "z0": tensor_error(ours.z0 or [], truth.z0 or [], bar),
            **{
                name: tensor_error(ours.params[name] or [], truth.params[name] or [], bar)
                for name in truth.params
            },
            "t0": tensor_error([ours.t0], [truth.t0], bar),
            "t1": tensor_error([ours.t1], [truth.t1], bar),
        },
    )


def reference(kind: Kind, truth: GradientRecord, bar: float, **details: Any) -> ReferenceRecord:
    """A reference with the same absolute uncertainty everywhere."""
    names = ["z0", "t0", "t1", *truth.params]
    return ReferenceRecord(
        kind=kind,
        gradient=truth,
        uncertainty=bar / norm(vector(truth)),
        absolute_uncertainty=bar,
        norm=norm(vector(truth)),
        uncertainty_by_parameter=dict.fromkeys(names, bar),
        details=details,
    )

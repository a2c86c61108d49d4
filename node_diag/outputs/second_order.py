"""What ``--order 2`` found, in one sentence for each method."""

from __future__ import annotations

from node_diag.outputs.numbers import uncertain
from node_diag.records import MethodRecord, Report


def sentences(report: Report) -> list[tuple[str, str]]:
    """(method, sentence) for every method whose Hessian-vector products were looked at."""
    return [(m.name, _sentence(m)) for m in report.methods if m.second_order is not None]


def _sentence(method: MethodRecord) -> str:
    found = method.second_order
    if found is None or found.error is None:
        return f"no Hessian-vector products: {found.reason if found else ''}"
    error = found.error
    if error.relative_l2 is None:
        return (
            f"Hessian-vector product {uncertain(error.absolute_l2, error.uncertainty)} (absolute) "
            f"from differences of its gradient, over {found.differentiated}"
        )
    return (
        f"Hessian-vector product {uncertain(error.relative_l2, error.uncertainty)} (relative) from "
        f"differences of its gradient, over {found.differentiated}"
    )

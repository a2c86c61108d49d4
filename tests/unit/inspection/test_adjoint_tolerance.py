"""How far the tolerance of a reverse-time solve is tightened, and when not at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from node_diag.causes import _leaves_out
from node_diag.config import CheckConfig
from node_diag.gradients.lookup import method_of
from node_diag.inspection import adjoint_tolerance
from node_diag.loader import load
from node_diag.preparation import make_setup, prepare
from node_diag.references.base import Reference, flat_inputs


@pytest.mark.parametrize(
    ("dtype", "rtol", "tried"),
    [
        ("float64", 1e-6, [1e-8, 1e-10]),
        ("float64", 1e-13, []),
        ("float32", 1e-6, []),  # ten roundings are 1.2e-6
        ("float32", 1e-3, [1e-5, 10 * 2.0**-23]),
    ],
)
def test_no_tolerance_is_tightened_below_what_the_precision_resolves(dtype, rtol, tried):
    """Against a truth that nothing reaches, so that it goes on as long as it may."""
    config = CheckConfig(rtol=rtol, dtype=dtype)
    problem = prepare(load("linear"), config)
    n = flat_inputs(problem).size
    never = Reference(kind="exact", value=np.full(n, 1e9), bar=np.zeros(n))
    setup = make_setup(problem, config)
    named = ("adjoint", method_of("adjoint"))
    found = adjoint_tolerance.inspect(named, problem, setup, never, 1e-1)
    assert [one.adjoint_rtol for one in found] == pytest.approx(tried, rel=1e-12)
    assert not any(one.met or one.failure for one in found)


def test_what_leaves_a_tensor_out_is_no_matter_of_tolerances():
    truth = SimpleNamespace(value=np.array([1.0, 2.0, 1e-9]), bar=np.array([0.0, 0.0, 1e-9]))
    parts = [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert _leaves_out(np.array([1.0, 0.0, 0.0]), truth, parts)
    # The last cannot be told from zero.
    assert not _leaves_out(np.array([1.0, 2.0, 0.0]), truth, parts)

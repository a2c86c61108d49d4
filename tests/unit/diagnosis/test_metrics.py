"""Errors against a reference with an uncertainty."""

import math

import numpy as np
import pytest

from node_diag.diagnosis.metrics import compare

PARTS = {"z0": slice(0, 2), "params.w": slice(2, 4), "ts": slice(4, 7)}


def compared(g, r, bar=1e-9):
    return compare(np.array(g, float), np.array(r, float), np.full(7, bar), PARTS)


def test_by_hand():
    error = compared([3, 4, 0, 1, 5, 0, 7], [3, 4, 0, 0, 5, 0, 8])
    assert error.relative_l2 == pytest.approx(1 / 5)
    # ‖bar‖ = 2e-9 over four entries, over ‖r‖ = 5, times 1 + error.
    assert error.uncertainty == pytest.approx(2e-9 / 5 * 1.2)
    assert error.absolute_l2 == 1.0
    assert error.max_abs == 1.0
    assert error.cosine == pytest.approx(5 / math.sqrt(26))
    assert error.norm_ratio == pytest.approx(math.sqrt(26) / 5)
    parts = error.by_parameter
    assert set(parts) == {"z0", "w", "t0", "t1"}
    assert parts["z0"].relative_l2 == 0
    assert parts["w"].relative_l2 is None  # the reference is zero there
    assert parts["w"].max_abs == 1.0
    assert parts["t0"].relative_l2 == 0
    assert parts["t1"].relative_l2 == pytest.approx(1 / 8)


def test_a_reference_of_zero_gives_an_absolute_error():
    error = compared([1e-3, 0, 0, 0, 0, 0, 0], [0] * 7)
    assert error.relative_l2 is None
    assert error.uncertainty == pytest.approx(2e-9)
    assert error.absolute_l2 == 1e-3
    assert error.cosine is None


def test_not_a_number_stays_one():
    error = compared([math.nan, 4, 0, 0, 5, 0, 8], [3, 4, 0, 0, 5, 0, 8])
    assert math.isnan(error.relative_l2)
    assert math.isnan(error.max_abs)
    infinite = compared([math.inf, 4, 0, 0, 5, 0, 8], [3, 4, 0, 0, 5, 0, 8])
    assert math.isinf(infinite.relative_l2)
    assert infinite.cosine is None

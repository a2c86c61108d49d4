"""Errors against a reference with an uncertainty."""

import math

import numpy as np
import pytest

from node_diag.diagnosis.metrics import compare, hidden

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


def test_the_times_are_one_vector_and_the_worst_of_them_is_named():
    times = compared([3, 4, 0, 0, 5, 1, 8], [3, 4, 0, 0, 5, 0, 8]).times
    # |1| over ‖(5, 0, 8)‖, known to 1e-9 √3 of the same.
    assert times.relative_l2 == pytest.approx(1 / math.sqrt(89))
    assert times.uncertainty == pytest.approx(1e-9 * math.sqrt(3 / 89) * (1 + 1 / math.sqrt(89)))
    assert times.worst == "ts[1]"


def test_a_time_that_is_nan_is_the_worst():
    times = compared([3, 4, 0, 0, math.nan, 0, 1e9], [3, 4, 0, 0, 5, 0, 8]).times
    assert times.worst == "t0"
    assert math.isnan(times.relative_l2)


def test_times_that_have_no_truth_are_left_out():
    truth = [3, 4, 0, 0, math.nan, 1, 8]
    assert compared([3, 4, 0, 0, 1, 1, 9], truth).times.relative_l2 == pytest.approx(
        1 / math.sqrt(65)
    )
    assert compared([3, 4, 0, 0, 1, 1, 9], [3, 4, 0, 0, *[math.nan] * 3]).times is None


def test_the_worst_tensor_is_the_one_that_is_certainly_off():
    parts = {"z0": slice(0, 2), "params.w": slice(2, 3), "params.b": slice(3, 4), "ts": slice(4, 6)}
    g = np.array([100.0, 100, 1.5e-3, 3e-6, 9, 9])
    r = np.array([100.0, 100, 1.0e-3, 1e-6, 1, 1])
    bar = np.array([0, 0, 1e-9, 9e-7, 0, 0])
    error = compare(g, r, bar, parts)
    # b is off by 200 %, known to 90 % · 3; w by 50 %.
    assert error.worst_tensor == "w"
    assert error.by_parameter["w"].absolute_l2 == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("b", "truth", "bar", "found"),
    [
        (1.5e-4, 1e-4, 1e-9, ["b"]),
        (1.05e-4, 1e-4, 1e-9, []),  # 5 %
        (1.5e-4, 1e-4, 2e-5, []),  # known to 20 % only: it may be anything
        (1e-5, 0.0, 1e-9, []),  # a zero has no relative error
        (1e-5, 1e-12, 2e-12, []),  # nor has one that is not told from it
    ],
)
def test_a_tensor_that_is_wrong_is_seen_below_the_norm_of_all(b, truth, bar, found):
    parts = {"z0": slice(0, 1), "params.b": slice(1, 2), "ts": slice(2, 4)}
    bars = np.array([0.0, bar, 0.0, 0.0])
    error = compare(np.array([1, b, 1, -1]), np.array([1, truth, 1, -1]), bars, parts)
    assert error.relative_l2 < 1e-4
    assert list(hidden(error)) == found


def test_what_is_wrong_as_a_whole_hides_nothing():
    assert hidden(compared([6, 4, 0, 0, 5, 0, 7], [3, 4, 0, 0, 5, 0, 7])) == {}


def test_an_error_far_below_the_whole_is_what_the_tolerance_leaves():
    parts = {"z0": slice(0, 1), "params.b": slice(1, 2), "ts": slice(2, 4)}
    error = compare(np.array([1.0, 9e-6, 1, -1]), np.array([1.0, 5e-6, 1, -1]), np.zeros(4), parts)
    assert error.by_parameter["b"].relative_l2 == pytest.approx(0.8)
    assert hidden(error) == {}

"""Details and evidence as short texts."""

from __future__ import annotations

import math

import pytest

from node_diag.outputs.values import LONGEST, show


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (30, "30"),
        (1e-13, "1e-13"),
        (math.nan, "nan"),
        ("DOP853", "DOP853"),
        ([1e-11, 1e-13], "1e-11, 1e-13"),
        ([], "none"),
        ({}, "none"),
        ({"mu": 2.0, "T": 20.0}, "mu: 2, T: 20"),
        ("two\nlines", "two lines"),
        ([{"rtol": 1e-5, "error": 0.4}, {"rtol": 1e-6, "error": 0.1}], "2, listed in report.json"),
    ],
)
def test_values_are_one_short_line(value, shown):
    assert show(value) == shown


def test_long_ones_say_that_they_were_cut():
    assert show(list(range(100))).endswith("… (100 in all)")
    assert len(show("x" * 10_000)) == LONGEST

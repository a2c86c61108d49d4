"""The front and the cheapest point, on points made by hand."""

import math

from node_diag.records.sweep import SweepPoint
from node_diag.sweep.running import cheapest, front


def point(nfe, error, uncertainty=0.0):
    return SweepPoint(at={}, method="aca", status="ok", nfe_forward=nfe, nfe_backward=0,
                      error=error, uncertainty=uncertainty)  # fmt: skip


FAILED = SweepPoint(at={}, method="aca", status="failed", failure="no")


def test_the_cheapest_meets_the_target_with_its_uncertainty():
    points = [FAILED, point(10, 0.9e-3, 0.2e-3), point(30, 1e-4), point(20, 9e-4, 1e-5),
              point(5, math.nan)]  # fmt: skip
    assert cheapest(points, 1e-3) == 3
    assert cheapest(points, 1e-5) is None
    assert cheapest([], 1.0) is None


def test_nothing_on_the_front_is_beaten():
    points = [point(10, 1e-2), point(20, 1e-2), point(20, 1e-3), point(5, math.nan), FAILED,
              point(40, 2e-3), point(80, 0.0)]  # fmt: skip
    assert list(front(points)) == [0, 2, 6]

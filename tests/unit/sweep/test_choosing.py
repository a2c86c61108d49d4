"""The front and the cheapest point, on points made by hand."""

import math

from node_diag.records.sweep import Choice, SweepPoint
from node_diag.sweep.choosing import cheapest, choices, everywhere, front


def point(nfe, error, uncertainty=0.0, **at):
    return SweepPoint(at=at, method="aca", status="ok", nfe_forward=nfe, nfe_backward=0,
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


def test_who_costs_more_is_more_accurate_by_more_than_both_uncertainties():
    points = [point(400, 5e-10, 1e-14), point(800, 5e-10 - 1.9e-14, 1e-14),
              point(900, 5e-10 - 2.1e-14, 1e-14)]  # fmt: skip
    assert list(front(points)) == [0, 2]


AXES = {"mu": [1, 2], "rtol": [1e-3, 1e-5], "seed": [0]}
POINTS = [
    point(10, 5e-3, mu=1, rtol=1e-3, seed=0),
    point(30, 5e-4, mu=1, rtol=1e-5, seed=0),
    point(20, 8e-4, mu=2, rtol=1e-3, seed=0),
    point(50, 1e-6, mu=2, rtol=1e-5, seed=0),
]


def test_a_setting_is_held_against_others_on_the_same_problem():
    """rtol 1e-3 is enough at mu = 2, and says nothing of mu = 1; a seed is another problem too."""
    found = choices(POINTS, AXES, ["rtol", "seed"], 1e-3)
    assert found == [
        Choice(at={"mu": 1, "seed": 0}, cheapest=1, front=[0, 1]),
        Choice(at={"mu": 2, "seed": 0}, cheapest=2, front=[2, 3]),
    ]
    assert everywhere(POINTS, found, 1e-3) == [1, 3]
    assert everywhere(POINTS, found, 5e-3) == [0, 2]
    assert everywhere(POINTS, found, 1e-4) == []


def test_settings_of_the_solver_alone_are_one_problem():
    points = [point(10, 1e-2, rtol=1e-3), point(20, 1e-4, rtol=1e-5)]
    (only,) = choices(points, {"rtol": [1e-3, 1e-5]}, ["rtol"], 1e-3)
    assert only == Choice(at={}, cheapest=1, front=[0, 1])


def test_the_grouping_does_not_care_which_axis_varies_fastest():
    points = [point(10 * r, 1e-4, rtol=r, mu=mu) for r in (1, 2) for mu in (1, 1.5)]
    found = choices(points, {"rtol": [1, 2], "mu": [1, 1.5]}, ["rtol"], 1e-3)
    assert [choice.at for choice in found] == [{"mu": 1}, {"mu": 1.5}]
    assert [choice.cheapest for choice in found] == [0, 1] == everywhere(points, found, 1e-3)

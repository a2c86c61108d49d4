"""States the loss does not see, and states at which it is stationary."""

import pytest

from node_diag import check
from tests.scenarios.cases import plain, tensor


def found(loss):
    """The dependence, and ND411's severities, for a state that stays at 1 exactly."""
    problem = plain(lambda t, z: 0 * z, tensor(1.0), (0.0, 0.5, 1.0), loss)()
    report = check(problem, methods=["aca"], repeat=1)
    severities = [f.severity for f in report.findings if f.code == "ND411"]
    return report.inspection.dependence, severities


def test_a_perfect_fit_is_stationary_and_not_unseen():
    dependence, severities = found(lambda zs: (zs - 1.0).square().sum())
    assert (dependence.unused_times, dependence.stationary) == ([], True)
    assert severities == ["info"]


def test_a_fit_of_one_time_that_is_perfect_is_nothing_to_say():
    dependence, severities = found(lambda zs: (zs[0] - 1.0).square().sum() + zs[1].sum())
    assert (dependence.unused_times, dependence.stationary, severities) == ([], False, [])


@pytest.mark.parametrize(
    "loss", [lambda zs: (zs - 1.0).detach().square().sum(), lambda zs: (zs - 5.0).relu().sum()]
)
def test_a_loss_that_is_cut_or_flat_sees_nothing(loss):
    dependence, severities = found(loss)
    assert (dependence.unused_times, dependence.stationary) == ([0.5, 1.0], False)
    assert severities == ["warning"]

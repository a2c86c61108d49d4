"""Van der Pol, the case people ask about: numbers computed independently of this project."""

import numpy as np
import pytest

# From variational equations with two solvers that agree to 1e-12; printed to nine digits, so that
# the last digit is worth 1.4e-9 relative at most. 1e-7 leaves room for nothing but that.
TRUTH = np.array([3.66155497, 0.6291383, 3.78914636])
PRINTED = np.array([0.5e-8, 0.5e-7, 0.5e-8])


@pytest.fixture(scope="session")
def report(checked):
    return checked("vanderpol", rtol=1e-5)


def main_part(gradient):
    return np.array([*gradient.z0, *gradient.params["mu"]])


def test_continuous_reference_is_the_known_gradient(report):
    reference = report.references.continuous
    error = main_part(reference.gradient) - TRUTH
    assert np.linalg.norm(error) / np.linalg.norm(TRUTH) < 1e-7
    # Within its own uncertainty and the digits printed.
    assert np.linalg.norm(error) <= reference.absolute_uncertainty + np.linalg.norm(PRINTED)
    assert reference.uncertainty < 1e-9


@pytest.mark.parametrize("name", ["aca", "direct"])
def test_frozen_step_gradients_hit_the_discrete_reference(report, name):
    error = report.method(name).errors.discrete
    assert report.references.discrete.uncertainty < 1e-8
    assert error.relative_l2 <= max(1e-9, report.references.discrete.uncertainty)


def test_adjoint_is_wrong_by_more_than_a_thousand(report):
    adjoint = report.method("adjoint")
    assert adjoint.errors.continuous.relative_l2 > 1e3
    assert adjoint.reconstruction.measured
    assert adjoint.reconstruction.max_error > 0.1
    assert any(f.code == "ND101" and f.method == "adjoint" for f in report.findings)


def test_stored_trajectories_are_exact(report):
    for name in ("aca", "naive", "direct"):
        assert report.method(name).reconstruction.max_error == 0


def test_the_others_are_right_to_the_order_of_the_tolerance(report):
    # Measured over 30 random problems, gradient error over rtol has median 20 and largest 958.
    assert report.method("aca").errors.continuous.relative_l2 < 958 * 1e-5
    assert report.method("direct").errors.continuous.relative_l2 < 958 * 1e-5
    # naive has the step-size terms on top; they are what separates it from the others.
    naive = report.method("naive").errors
    assert naive.continuous.relative_l2 < 0.1
    assert naive.discrete.relative_l2 > 10 * naive.discrete.uncertainty


def test_unfrozen_differences_are_naive_not_the_truth(report):
    unfrozen = report.references.unfrozen
    value = main_part(unfrozen.gradient)
    naive = main_part(report.method("naive").gradient)
    frozen = main_part(report.references.discrete.gradient)
    gap = np.linalg.norm(naive - frozen)
    # They differ from naive by their own uncertainty, a small part of what separates the two.
    assert np.linalg.norm(value - naive) < 0.05 * gap
    assert np.linalg.norm(value - frozen) > 0.9 * gap


def test_step_size_terms_separate_naive_from_direct_at_a_loose_tolerance(checked):
    report = checked("vanderpol", {"mu": 1.0, "T": 10.0}, rtol=1e-3, atol=1e-3)
    naive, direct = (main_part(report.method(name).gradient) for name in ("naive", "direct"))
    assert np.linalg.norm(naive - direct) > np.linalg.norm(direct)
    assert report.method("direct").errors.discrete.relative_l2 < 1e-7
    assert any(f.code == "ND202" for f in report.findings)


def test_cost_grows_as_the_paper_says(report):
    # One state a step for ACA, a whole trial's graph for naive: the formulas with measured units.
    n_t, m = report.solution.n_accepted, report.solution.trials_per_step
    aca, naive, direct = (report.method(name).cost for name in ("aca", "naive", "direct"))
    assert aca.nfe_forward == naive.nfe_forward == report.solution.nfe
    # Six stages a trial (the seventh is the next step's first), two evaluations to start.
    assert aca.nfe_forward == 6 * round(n_t * m) + 2
    assert aca.nfe_backward == 6 * n_t
    assert naive.nvjp_backward == naive.nfe_forward - 1  # the last stage of all feeds nothing
    state = 2 * 8
    assert n_t * state < aca.saved_bytes < 2 * n_t * state + 4096
    assert naive.saved_bytes > direct.saved_bytes > 10 * aca.saved_bytes
    assert naive.graph_depth > direct.graph_depth > aca.live_graph_depth

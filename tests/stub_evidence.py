"""What a check of van der Pol finds besides gradients: growth, origin of errors, settings tried."""

from __future__ import annotations

from node_diag.records import (
    Candidate,
    Dependence,
    ErrorOrigin,
    Inspection,
    Recommendation,
    Repeatability,
    Stability,
    StepSizeTerms,
)

_T = [
    0.0,
    0.52747,
    2.1509,
    3.2202,
    3.7476,
    4.3404,
    6.043,
    7.0674,
    7.584,
    8.1979,
    9.9503,
    10.906,
    11.416,
    12.047,
    13.788,
    14.746,
    15.252,
    15.909,
    17.664,
    18.573,
    19.091,
    19.78,
    20.0,
]
_LOG10_GROWTH = [
    0.0,
    0.034341,
    0.55375,
    1.2329,
    0.7991,
    0.039699,
    0.60893,
    1.3335,
    0.73873,
    0.039851,
    0.6827,
    1.3892,
    0.69068,
    0.040496,
    0.70032,
    1.434,
    0.6315,
    0.042742,
    0.75399,
    1.4488,
    0.56539,
    0.047205,
    0.082784,
]
_LOG10_REVERSE_GROWTH = [
    21.885,
    20.565,
    18.204,
    18.413,
    18.137,
    16.626,
    14.239,
    14.585,
    14.137,
    12.584,
    10.294,
    10.715,
    10.148,
    8.5609,
    6.354,
    6.8359,
    6.1472,
    4.5137,
    2.428,
    2.9161,
    2.1382,
    0.44606,
    0.0,
]
_LOG10_COTANGENT = [
    0.55492,
    0.52063,
    0.092203,
    -0.19251,
    0.56465,
    0.52443,
    0.077883,
    -0.056632,
    0.56929,
    0.52183,
    0.071133,
    0.038956,
    0.57293,
    0.51982,
    0.073782,
    0.13052,
    0.57679,
    0.51635,
    0.083608,
    0.17987,
    0.58527,
    0.52738,
    0.54986,
]
_PREDICTED_ERROR = [
    3.2992e16,
    1580900000000000.0,
    6878200000000.0,
    11140000000000.0,
    5900500000000.0,
    182070000000.0,
    746930000.0,
    1653900000.0,
    589480000.0,
    16514000.0,
    84791.0,
    223540.0,
    60470.0,
    1566.1,
    9.7246,
    29.498,
    6.0405,
    0.14047,
    0.0011253,
    0.0034057,
    0.00057161,
    1.468e-05,
    0.0,
]
_ORIGIN_T = [
    20.0,
    18.688,
    16.873,
    14.943,
    13.001,
    11.191,
    9.1399,
    7.4217,
    5.3565,
    3.7135,
    1.5853,
    0.0,
]
_ORIGIN_SHARE = [
    0.0,
    -2.1076e-10,
    2.6985e-11,
    -7.4256e-07,
    9.6147e-08,
    -4.8663e-06,
    -1.1659e-06,
    -0.0011543,
    -0.00037291,
    0.051071,
    0.034269,
    1.0,
]
_TRIED = [
    ("dopri5", 1e-05, 0.00023623, 9.4505e-12, 1010, 128, True),
    ("dopri5", 0.001, 0.36879, 1.2933e-11, 512, 65, False),
    ("dopri5", 0.0001, 0.022144, 9.6575e-12, 686, 84, False),
    ("dopri5", 1e-06, 4.4753e-05, 9.4487e-12, 1418, 193, True),
    ("tsit5", 2e-05, 0.0017954, 9.4652e-12, 842, 106, False),
    ("tsit5", 5e-06, 0.00024301, 9.4506e-12, 1046, 135, True),
    ("bosh3", 2e-05, 0.00045732, 9.4526e-12, 1307, 405, True),
]


def inspection() -> Inspection:
    """F is smooth, repeatable and autonomous; its reverse flow expands."""
    return Inspection(
        repeatability=Repeatability(spread=0.0, uses_random_numbers=False, changed=[], suspects=[]),
        dependence=Dependence(unreached=[], uses_time=False),
        stability=Stability(
            t=_T,
            contraction_rate=4.1631,
            expansion_rate=1.6531,
            log10_growth=_LOG10_GROWTH,
            log10_reverse_growth=_LOG10_REVERSE_GROWTH,
            log10_state_growth=0.29387,
            log10_cotangent=_LOG10_COTANGENT,
            log10_loss_cotangent=0.54986,
            predicted_error=_PREDICTED_ERROR,
            predicted_departure=16.365,
            stability_share=0.0,
            blocks=1,
        ),
    )


def error_origin() -> ErrorOrigin:
    """Of the adjoint's error: the last steps before t0 do most of it."""
    return ErrorOrigin(t=_ORIGIN_T, share=_ORIGIN_SHARE, start=0.0, end=1.5853, most=0.96573)


def step_size_terms() -> StepSizeTerms:
    """Of naive."""
    return StepSizeTerms(start=0.00093159, rejected=0.0011541, accepted=0.018517, flipped=[])


def recommendation() -> Recommendation:
    """Seven settings, one of them the cheapest that met the target."""
    candidates = [
        Candidate(
            solver=solver, rtol=rtol, atol=rtol, error=error, uncertainty=bar, nfe=nfe,
            n_accepted=steps, met=met,
        )
        for solver, rtol, error, bar, nfe, steps, met in _TRIED
    ]  # fmt: skip
    return Recommendation(target=1e-3, method="direct", candidates=candidates, best=0, order=1.372)

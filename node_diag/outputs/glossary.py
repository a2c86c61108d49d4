"""The words of a report, explained to somebody who sees one for the first time."""

from __future__ import annotations

TERMS: dict[str, str] = {
    "continuous truth": (
        "The derivative of the exact solution of the differential equation: from a closed form, "
        "or from sensitivity equations solved far below the tested tolerance."
    ),
    "discrete truth": (
        "The derivative of the number that the solver returns, its accepted steps held constant."
    ),
    "unfrozen differences": (
        "Finite differences through the adaptive solver. They contain the derivative of its step "
        "sizes, converge to that, and look right: they are shown, and are no truth."
    ),
    "relative error": (
        "‖g − truth‖₂ / ‖truth‖₂ over the initial state and all parameters together; t0 and t1 "
        "are reported apart."
    ),
    "verdict": (
        "Pass or fail of the limits that were set. Without limits: right, off or wrong, for a "
        "relative error of at most 1 %, at most 10 %, or more against the continuous truth."
    ),
    "uncertainty (±)": (
        "How well the truth itself is known. No error below it is claimed, and a limit that lies "
        "within it is neither passed nor failed but inconclusive."
    ),
    "adjoint": (
        "Solves the state backward in time beside its sensitivities. Where the forward flow "
        "contracts, the reverse one expands, and the state is no longer the forward one."
    ),
    "aca": "Stores the accepted states and goes back through them one step at a time.",
    "naive": "Backprop through the whole solve: rejected trials and step-size control included.",
    "direct": "Backprop through the accepted steps with their sizes constant.",
    "state error": (
        "Largest distance of the states of the backward pass from the forward trajectory, "
        "relative to its size. Stored states have none."
    ),
    "nfe": "Evaluations of f. Backward passes through a stored graph need none.",
    "saved": "Bytes that are kept from the forward for the backward pass.",
    "N_f, N_t, N_r, m": (
        "Evaluations of f per trial, accepted steps forward, accepted steps in reverse time, "
        "trials per accepted step."
    ),
}

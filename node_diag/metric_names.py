"""What a gate may limit, by name, readable without importing anything."""

DESCRIPTIONS = {
    "grad_error": "relative L2 error against the continuous truth, over z0 and all parameters",
    "grad_error_discrete": "the same against the discrete truth, of the accepted steps",
    "worst_tensor_error": "the largest relative error of z0 alone and of each parameter alone",
    "times_error": "relative error of dL/dt0 … dL/dt1 against the continuous truth",
    "taylor_error": "odd part of the Taylor test along the gradient and a random line",
    "hvp_error": "relative error of a Hessian-vector product (--order 2), by differences",
    "reconstruction_error": "largest distance of z̄(t) from z(t), relative to the largest z",
    "initial_error": "distance of z̄(t0) from z0, relative likewise",
    "nfe_forward": "evaluations of f in the forward pass",
    "nfe_backward": "evaluations of f in the backward pass, recomputed steps included",
    "n_steps_backward": "steps of the backward pass",
    "saved_bytes": "bytes kept from the forward for the backward pass",
    "peak_bytes": "most bytes alive at once in both passes",
    "graph_depth": "longest chain of autograd nodes that a cotangent passes through",
    "forward_s": "seconds of the forward pass, the median of the repeats",
    "backward_s": "seconds of the backward pass, the median of the repeats",
}

COUNTED = (
    *("nfe_forward", "nfe_backward", "n_steps_backward", "saved_bytes", "peak_bytes"),
    "graph_depth",
)
"""Those that are whole numbers."""

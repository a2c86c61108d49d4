"""torchdiffeq: odeint_adjoint, a second solve backward in time."""

from node_diag.gradients.peers.with_torchdiffeq import TorchdiffeqAdjoint

REQUIRES = "torchdiffeq"
METHOD = TorchdiffeqAdjoint()

"""torchdiffeq: odeint_adjoint, its error norm without dL/dθ (seminorm)."""

from node_diag.gradients.peers.with_torchdiffeq import TorchdiffeqAdjoint

REQUIRES = "torchdiffeq"
METHOD = TorchdiffeqAdjoint(norm="seminorm")

"""TorchDiffEqPack: MALI, reversible steps of its own solver (odesolve_adjoint_sym12)."""

from node_diag.gradients.peers.with_torchdiffeqpack import Mali

REQUIRES = "TorchDiffEqPack"
METHOD = Mali()

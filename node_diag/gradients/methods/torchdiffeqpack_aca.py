"""TorchDiffEqPack: ACA by its authors (odesolve_adjoint)."""

from node_diag.gradients.peers.with_torchdiffeqpack import TorchDiffEqPack

REQUIRES = "TorchDiffEqPack"
METHOD = TorchDiffEqPack()

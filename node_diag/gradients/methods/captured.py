"""The call of torchdiffeq's odeint_adjoint that `node-diag capture` recorded, as it was made."""

from node_diag.gradients.peers.with_captured_call import CapturedAdjoint

REQUIRES = "torchdiffeq"
METHOD = CapturedAdjoint()

"""The call of torchdiffeq's odeint that `node-diag capture` recorded, as it was made."""

from node_diag.gradients.peers.with_captured_call import CapturedBackprop

REQUIRES = "torchdiffeq"
METHOD = CapturedBackprop()

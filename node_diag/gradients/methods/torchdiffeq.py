"""torchdiffeq: backprop through odeint."""

from node_diag.gradients.peers.with_torchdiffeq import Torchdiffeq

REQUIRES = "torchdiffeq"
METHOD = Torchdiffeq()

"""torchode: backprop with the step sizes held constant."""

from node_diag.gradients.peers.with_torchode import Torchode

REQUIRES = "torchode"
METHOD = Torchode(through_control=False)

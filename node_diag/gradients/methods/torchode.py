"""torchode: backprop, gradients through the step-size control included (its default)."""

from node_diag.gradients.peers.with_torchode import Torchode

REQUIRES = "torchode"
METHOD = Torchode(through_control=True)

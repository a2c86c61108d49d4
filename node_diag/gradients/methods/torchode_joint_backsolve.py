"""torchode: JointBacksolveAdjoint, a batch solved backward as one state."""

from node_diag.gradients.peers.with_torchode import TorchodeBacksolve

REQUIRES = "torchode"
METHOD = TorchodeBacksolve("JointBacksolveAdjoint")

"""torchode: BacksolveAdjoint, a second solve backward in time."""

from node_diag.gradients.peers.with_torchode import TorchodeBacksolve

REQUIRES = "torchode"
METHOD = TorchodeBacksolve("BacksolveAdjoint")

"""f keeps what it computes from a parameter, and a parameter loses its gradient.

A weight that is computed in the first evaluation and kept (``if self._w is None``, a cached
property, a dict of caches) has the graph of that evaluation, or none. Whoever evaluates f without
gradients first takes from the parameters behind it their gradient in all that follows: the forward
pass of an adjoint or of ACA, a validation loop, a plot before training. With a graph, the second
training step goes backward through what the first one has freed; and whatever the optimiser does,
the value stays.

Detected: f, with all that it keeps as before its first evaluation, is differentiated at once, and
after evaluations without a graph, at (t0, z0) and at two points away from it: its value is the
same, its gradient in a parameter is another or gone. What is kept for one time only and computed
anew at the next is left out. The results of this check are those of f as it is after its first
evaluation, so the exit code is 2. Looked through are attributes, buffers, containers and objects
two deep, closures, globals, classes, cached functions and parametrize.cached().

What to do: compute it in every evaluation; or before each solve, with a graph, and name it in
adjoint_params in the place of what it was computed from.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule, listed
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for all parameters."""
    found = report.inspection.repeatability.kept if report.inspection else []
    if found:
        yield rule.finding(
            f"f keeps what it computes from {listed(found)} in its first evaluation: if that is "
            "made without gradients, as in the forward pass of an adjoint, the gradient in "
            f"{'it' if len(found) == 1 else 'them'} is lost, or a part of it (here too)",
            "compute it in every evaluation; then " + command(report),
            None,
            parameters=found,
        )


RULE = Rule("ND414", "error", detect)

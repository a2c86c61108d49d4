"""f, or the loss, gives another value each time it is evaluated.

Dropout in training mode, random numbers inside f, a counter that f reads: the solver then follows
another vector field at every stage, its error estimate measures the noise, and no two backward
passes differentiate the same function. There is no gradient to be right or wrong.

Detected: f is evaluated three times at (t0, z0) and the loss twice at the same states, and the
values differ by more than round-off.

What to do: switch it off (model.eval()), or draw the random numbers once for a whole solve.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding, naming the layers or attributes it may come from."""
    if report.inspection is None:
        return
    found = report.inspection.repeatability
    dtype = report.config.dtype
    if found.f_repeats(dtype) and not found.all_repeats(dtype):
        yield rule.finding(
            f"the loss is not repeatable: the same states gave values {found.loss_spread:.1e} "
            "(relative) apart",
            "draw its random numbers once, outside of the loss; then look again with "
            + command(report),
            None,
            loss_spread=found.loss_spread,
        )
    if found.f_repeats(dtype):
        return
    causes = [f"{name} in training mode" for name in found.suspects]
    causes += ["it draws random numbers"] if found.uses_random_numbers and not causes else []
    causes += [f"it changes '{name}'" for name in found.changed if not found.suspects]
    yield rule.finding(
        f"f is not repeatable: the same (t0, z0) gave values {found.spread:.1e} (relative) apart"
        + (f"; {', '.join(causes)}" if causes else ""),
        "call .eval() on the module, or draw its random numbers once for each solve; then look "
        f"again with {command(report)}",
        None,
        spread=found.spread,
        suspects=found.suspects,
        uses_random_numbers=found.uses_random_numbers,
        changed=found.changed,
    )


RULE = Rule("ND401", "error", detect)

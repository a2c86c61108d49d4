"""f changes its input in place.

z.mul_(2), z[0] = …, t += 1 inside f: the solver's own state, or a stage of it, is then another one
than the solver thinks. Solvers that use it afterwards (the start of a step is used for every stage)
go on from other values without a word; a graph that was kept may be broken.

Detected: the version counter of the state or the time that f was given at t0 has moved. f is given
copies in this check, so the other results are those of an f that leaves its input alone; the exit
code is 2 all the same.

What to do: z = z.clone() at the top of f, or operations that return a new tensor.
"""

from collections.abc import Iterable

from node_diag.diagnosis.again import command
from node_diag.diagnosis.rule import Rule
from node_diag.records import Finding, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for all that it changes."""
    found = report.inspection.repeatability.mutated if report.inspection else []
    if found:
        yield rule.finding(
            f"f changes the {' and the '.join(found)} it is given in place; a solver that goes on "
            "using it computes something else (here f was given copies)",
            "use z.clone() at the top of f, or operations that return a new tensor; then "
            + command(report),
            None,
            changed=found,
        )


RULE = Rule("ND413", "error", detect)

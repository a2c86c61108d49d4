"""The solver's own error is what makes the gradient wrong.

The methods that differentiate the accepted steps do so exactly; those steps are simply not the
exact flow, and their derivative is further from its than the states are. A reverse-time method
whose state follows the trajectory inherits the trajectory's error.

Detected: a method is off by more than 1 %, the derivative of the accepted steps makes at least half
of that, and the error control does see the problem (else it is ND203). Where the discrete truth is
missing or vague, aca or direct stands for it, and the finding says so.

What to do: tighten rtol and atol, or take smaller steps. How far is extrapolated from how the error
falls with the tolerance, and the setting is run: its error is in the finding. Where a tolerance did
not do, what did is advised.
"""

from collections.abc import Iterable, Sequence

from node_diag.diagnosis.accepted_steps import accepted_steps, explained, taken_by
from node_diag.diagnosis.again import command
from node_diag.diagnosis.remedy import better, cure, finer, fixed, seen, setting
from node_diag.diagnosis.rule import Rule, candidates, continuous, listed, off_truth
from node_diag.diagnosis.rules.nd203_error_control_blind import blind
from node_diag.records import Candidate, Finding, MethodRecord, Report


def detect(rule: Rule, report: Report) -> Iterable[Finding]:
    """One finding for the run, and one for all libraries whose own steps are to blame alike."""
    steps = accepted_steps(report)
    every = explained(report, steps)
    if steps is None or not every:
        return
    libraries = [m for m in report.methods if m.name in every and m.own_steps and m.discrete]
    alike: dict[str, list[MethodRecord]] = {}
    for method in libraries:
        alike.setdefault(f"{_count(method)} {taken_by(method, None)}", []).append(method)
    for methods in alike.values():
        yield _of_libraries(rule, report, methods)
    names = [name for name in every if all(name != m.name for m in libraries)]
    if not names or blind(report, steps):
        return
    does = cure(report, steps.off, lambda c: _same(report, c)) or better(report, steps.off)
    searched = report.recommendation.method if report.recommendation else ""
    proven = f"; {_changed(report, does)} {searched} is off by {seen(does)}" if does else ""
    unproven = (
        f" (the discrete truth is not known well enough; {steps.witness} stands for it, so that "
        f"the steps are the cause only if {steps.witness} is right)"
        if steps.witness
        else ""
    )
    options = setting(does) if does else finer(report)
    if does and "naive" in names:  # what finer steps add to it was not seen
        options["method"] = searched
    what = steps.witness or "the discrete truth itself"
    yield rule.finding(
        f"{what} is {steps} away from the continuous truth with these steps, "
        f"most of the error of {', '.join(names)}{unproven}{proven}",
        f"{_advice(report, does)}: {command(report, **options)}",
        None,
        methods=names,
        continuous_error=steps.off,
        order=report.recommendation.order if report.recommendation else None,
        tried=[c.model_dump(exclude_none=True) for c in candidates(report)],
    )


def _count(method: MethodRecord) -> int:
    """How many steps a library accepted."""
    return method.own_steps.n_accepted if method.own_steps else 0


def _of_libraries(rule: Rule, report: Report, methods: Sequence[MethodRecord]) -> Finding:
    """Their steps are their own, so what was tried with ours says nothing of them."""
    first, names = methods[0], [m.name for m in methods]
    taken, alone = taken_by(first, None), len(names) == 1
    errors = f" of {off_truth(first)}" if alone else "s"
    return rule.finding(
        f"{listed(names)}: the derivative of the {_count(first)} steps "
        f"{'it' if alone else 'each of them'} accepted is {taken} away from the continuous truth, "
        f"most of {'its' if alone else 'their'} error{errors}",
        f"{'make the steps smaller' if fixed(report) else 'tighten the tolerance'}: "
        f"{command(report, method=','.join(names), **finer(report))}",
        first.name if alone else None,
        **({} if alone else {"methods": names}),
        continuous_error=continuous(first),
        error_of_its_steps=taken.off if taken else None,
    )


def _same(report: Report, candidate: Candidate) -> bool:
    """Whether a setting differs by its tolerance or step alone."""
    config = report.config
    return candidate.solver == config.solver and candidate.control == config.control


def _advice(report: Report, does: Candidate | None) -> str:
    if does is not None and does.solver != report.config.solver:
        return f"take {does.solver}"
    if does is not None and does.control != report.config.control:
        return "let the error control see the sensitivities"
    return "take smaller steps" if fixed(report) else "tighten the tolerance"


def _changed(report: Report, does: Candidate) -> str:
    """What a setting does otherwise."""
    if does.solver != report.config.solver:
        return f"with {does.solver}"
    if does.control != report.config.control:
        return "with --control sensitivities"
    if does.step_size is not None:
        return f"at step_size {does.step_size:g}"
    return f"at rtol {does.rtol:g}"


RULE = Rule("ND204", "warning", detect)

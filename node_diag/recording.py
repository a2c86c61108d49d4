"""From tensors and solutions to records: the last place that sees torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from node_diag.diagnosis.metrics import TIMES, compare
from node_diag.gradients.base import MethodRun
from node_diag.measure.clock import Times
from node_diag.measure.counting import Counts
from node_diag.measure.trajectory import Deviation, states_at
from node_diag.norms import norm
from node_diag.problem import Problem
from node_diag.records import (
    LONGEST_LIST,
    Cost,
    ErrorRecord,
    GradientRecord,
    ProblemRecord,
    ReferenceRecord,
    SecondOrder,
    Series,
    SolutionRecord,
    Steps,
    TaylorTest,
    Trajectory,
    label,
)
from node_diag.references import second_order
from node_diag.references.base import Reference, slices
from node_diag.references.taylor import STEPS, TaylorLine
from node_diag.solvers.solution import Solution
from node_diag.solvers.tableau import Tableau

Vector = NDArray[np.float64]
MOST_POINTS = 600
MOST_COMPONENTS = 6


class Recorder:
    """Cuts flat gradients into named lists; what is too long for JSON goes to ``arrays``."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.parts = slices(problem)
        self.arrays: dict[str, Vector] = {}

    def gradient(self, key: str, flat: Vector) -> GradientRecord:
        """A flat gradient (z0, parameters, times) as a record; ``key`` names it in arrays.npz."""
        keys: dict[str, str] = {}

        def numbers(name: str) -> list[float] | None:
            part = flat[self.parts[name]]
            if part.size <= LONGEST_LIST:
                return part.tolist()
            keys[name] = f"{key}/{name}"
            self.arrays[keys[name]] = part
            return None

        ts = flat[self.parts["ts"]]
        return GradientRecord(
            z0=numbers("z0"),
            t0=float(ts[0]),
            t1=float(ts[-1]),
            ts=ts.tolist(),
            params={name: numbers(f"params.{name}") for name in self.problem.params},
            arrays=keys,
        )


def reference_record(recorder: Recorder, which: str, reference: Reference) -> ReferenceRecord:
    """A reference with its uncertainty, relative over z0 and parameters and absolute by part."""
    main = slice(0, recorder.parts["ts"].start)
    size = norm(reference.value[main])
    uncertainty = norm(reference.bar[main])
    by_parameter = {
        label(name): norm(reference.bar[part])
        for name, part in recorder.parts.items()
        if name != "ts"
    }
    times = reference.bar[recorder.parts["ts"]]
    return ReferenceRecord(
        kind=reference.kind,
        gradient=recorder.gradient(f"references/{which}", reference.value),
        uncertainty=uncertainty / size if size else float("inf"),
        absolute_uncertainty=uncertainty,
        norm=size,
        uncertainty_by_parameter={**by_parameter, "t0": float(times[0]), "t1": float(times[-1])},
        details=reference.details,
    )


def taylor_record(line: TaylorLine, gradient: Vector) -> TaylorTest:
    """How a gradient (z0 and parameters) does along one line."""
    remainders = line.remainders(gradient)
    with np.errstate(all="ignore"):
        rates = np.log2(remainders[:-1] / remainders[1:])
    return TaylorTest(
        line=line.name,
        odd_part=line.odd_part(gradient),
        uncertainty=line.bar,
        steps=STEPS.tolist(),
        remainders=remainders.tolist(),
        rates=[float(rate) if np.isfinite(rate) else None for rate in rates],
    )


def second_order_record(recorder: Recorder, found: second_order.SecondOrder | str) -> SecondOrder:
    """Hessian-vector product against differences of the gradient, or why there is none."""
    if isinstance(found, str):
        return SecondOrder(reason=found)
    none = np.zeros(len(recorder.problem.ts))  # the times were not differentiated
    product, value, bar = (
        np.concatenate([x, none]) for x in (found.product, found.value, found.bar)
    )
    error = compare(product, value, bar, recorder.parts)
    without_times(error)
    return SecondOrder(differentiated=found.map, error=error)


def without_times(error: ErrorRecord) -> None:
    """Take out what it says about the times, where they were not differentiated."""
    for name in TIMES:
        del error.by_parameter[name]
    error.times = None


def problem_record(problem: Problem) -> ProblemRecord:
    """The problem as it was checked."""
    shapes = [list(shape) for shape in problem.layout.shapes]
    return ProblemRecord(
        name=problem.name,
        source=problem.source,
        description=problem.description,
        state_shape=shapes if problem.layout.is_tuple else shapes[0],
        n_state=problem.layout.numel,
        n_params=sum(p.numel() for p in problem.params.values()),
        params={name: list(p.shape) for name, p in problem.params.items()},
        t0=problem.t0,
        t1=problem.t1,
        ts=list(problem.ts),
    )


def solution_record(problem: Problem, solution: Solution, nfe: int) -> SolutionRecord:
    """The forward solve."""
    return SolutionRecord(
        loss=float(problem.loss_of(solution.zs).detach()),
        z1=solution.zs[-1].tolist(),
        nfe=nfe,
        n_accepted=solution.n_accepted,
        n_rejected=solution.n_rejected,
        trials_per_step=solution.trials_per_step,
    )


def cost_record(run: MethodRun, counts: Counts, times: Times) -> Cost:
    """What a gradient took."""
    assert counts.peak_bytes is not None  # a check counts all
    return Cost(
        nfe_forward=run.nfe_forward,
        nfe_backward=run.nfe_backward,
        nvjp_backward=counts.nvjp_backward,
        n_steps_backward=run.backward.n_steps,
        saved_bytes=counts.saved_bytes,
        peak_bytes=counts.peak_bytes,
        graph_depth=counts.graph_depth,
        live_graph_depth=counts.live_graph_depth,
        forward_s=times.forward_s,
        backward_s=times.backward_s,
        repeats=times.repeats,
        spread_s=times.spread_s,
    )


def series_record(
    problem: Problem, tableau: Tableau, solution: Solution, reconstruction: dict[str, Trajectory]
) -> Series:
    """What the plots are drawn from: a smooth forward trajectory and every trial."""
    grid = solution.grid
    times = np.linspace(grid.t0, grid.t1, MOST_POINTS)
    states = states_at(problem, tableau, solution, times)
    trials = [(t, h, True) for t, h in zip(grid.starts(), grid.h, strict=True)]
    trials += [(t, h, False) for t, h in solution.rejected]
    trials.sort(key=lambda trial: (abs(trial[0] - grid.t0), trial[2]))
    return Series(
        components=_labels(problem),
        forward=Trajectory(t=times.tolist(), z=states[:, :MOST_COMPONENTS].tolist()),
        reconstruction=reconstruction,
        steps=Steps(
            t=[t for t, _, _ in trials],
            h=[h for _, h, _ in trials],
            accepted=[accepted for _, _, accepted in trials],
        ),
    )


def trajectory_record(path: Deviation) -> Trajectory:
    """A reverse-time trajectory, thinned out but for its worst point."""
    keep = np.unique(
        np.append(
            np.linspace(0, len(path.t) - 1, min(MOST_POINTS, len(path.t))).astype(int),
            int(np.argmax(path.error)),
        )
    )
    return Trajectory(
        t=path.t[keep].tolist(),
        z=path.z[keep, :MOST_COMPONENTS].tolist(),
        error=path.error[keep].tolist(),
    )


def _labels(problem: Problem) -> list[str]:
    """z[0], z[1] … for a vector, z[0,1] for a batch, z0[…] and z1[…] for a tuple."""
    labels: list[str] = []
    for part, shape in enumerate(problem.layout.shapes):
        name = f"z{part}" if problem.layout.is_tuple else "z"
        for index in np.ndindex(*shape):
            labels.append(f"{name}[{','.join(map(str, index))}]" if index else name)
            if len(labels) == MOST_COMPONENTS:
                return labels
    return labels

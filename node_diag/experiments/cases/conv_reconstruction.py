"""An image through an ODE defined by a convolution, and back: what reverse time makes of it.

z′ = K * z on a periodic image is diagonal in Fourier space, so that z(T) and every gradient are
known in closed form; the image is generated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from node_diag.cells import Cell
from node_diag.experiments.base import Claim, Conclusion, Experiment, Picture, Results
from node_diag.outputs.figures.canvas import WIDTH, Handle, blank, decades, label, place
from node_diag.outputs.figures.style import looks
from node_diag.outputs.numbers import NOTHING, count, general, scientific
from node_diag.outputs.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from node_diag import Problem

SIZE, HORIZON, STRENGTH, SEED = 32, 8.0, 2.0, 3
"""Pixels, T, the largest |λ| of the convolution, and the seed of its kernel."""
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
SHOWN = 1e-5
METHODS = ("adjoint", "aca")
PANELS = ("input", "output", "reconstruction", "difference")
LOST = 0.1
HEIGHT, PANEL = 2.7, 1.62


def cells() -> list[Cell]:
    """A cell for every tolerance."""
    return [Cell(f"rtol_{rtol:g}", {"rtol": rtol}) for rtol in TOLERANCES]


def measure(rtol: float) -> dict[str, Any]:
    """Forward and back, and the gradients of both methods beside the closed form."""
    from node_diag import gradient
    from node_diag.errors import SolveError
    from node_diag.experiments.truth import distance, flat
    from node_diag.references.base import slices
    from node_diag.references.exact import exact_reference

    problem = _problem()
    truth = exact_reference(problem)
    end = slices(problem)["ts"].start
    found: dict[str, Any] = {"there_and_back": _there_and_back(problem, rtol)}
    for method in METHODS:
        try:
            run = gradient(problem, method, "dopri5", rtol=rtol, atol=rtol)
        except SolveError as error:
            found[method] = {"error": None, "failure": error.reason, "nfe": None}
            continue
        error = distance(flat(run.gradient), truth.value[:end])
        found[method] = {"error": error, "nfe": run.nfe_forward + run.nfe_backward}
    return found


def _there_and_back(problem: Problem, rtol: float) -> dict[str, Any]:
    """The image, what the flow makes of it, and what comes back."""
    import torch

    from node_diag.errors import SolveError
    from node_diag.field import Field
    from node_diag.registry import SOLVERS
    from node_diag.solvers.integrate import integrate
    from node_diag.solvers.solution import Settings

    settings = Settings(SOLVERS.load("dopri5"), rtol, rtol)
    f, start = Field(problem), problem.flat_z0()
    forward = integrate(f, start, problem.ts, settings).zs[-1]
    found: dict[str, Any] = {"error": None}
    if rtol == SHOWN:
        found |= {"input": start.tolist(), "output": forward.tolist()}
    try:
        back = integrate(f, forward, problem.ts[::-1], settings).zs[-1]
    except SolveError as error:
        return found | {"failure": error.reason}
    found["error"] = float((back - start).norm() / start.norm())
    accurate = problem.exact
    if accurate is not None:
        with torch.no_grad():
            true = accurate(torch.tensor(problem.ts), start.reshape(SIZE, SIZE), problem.params)
        found["forward_error"] = float((forward - true.reshape(-1)).norm() / true.norm())
    return found | ({"reconstruction": back.tolist()} if rtol == SHOWN else {})


def _problem() -> Problem:
    import torch

    from node_diag import Problem

    def symbol(kernel: Tensor) -> Tensor:
        """λ of every Fourier mode."""
        padded = torch.zeros(SIZE, SIZE, dtype=kernel.dtype)
        rows = torch.tensor([-1, 0, 1]).repeat_interleave(3) % SIZE
        columns = torch.tensor([-1, 0, 1]).repeat(3) % SIZE
        return torch.fft.fft2(padded.index_put((rows, columns), kernel.reshape(-1)))

    generator = torch.Generator().manual_seed(SEED)
    # They sum to zero, all but the middle one positive: every mode decays, some much faster.
    kernel = torch.randn(9, generator=generator, dtype=torch.float64).softmax(0).reshape(3, 3)
    kernel[1, 1] -= 1
    kernel = (kernel * STRENGTH / symbol(kernel).abs().max()).requires_grad_()

    def f(t: Tensor, z: Tensor) -> Tensor:
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        moved = torch.stack([torch.roll(z, shift, (0, 1)) for shift in shifts])
        return torch.einsum("k,kij->ij", kernel.reshape(-1), moved)

    def exact(ts: Tensor, z0: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        growth = torch.exp(symbol(params["kernel"]) * (ts[1:] - ts[0]).reshape(-1, 1, 1))
        return torch.fft.ifft2(growth * torch.fft.fft2(z0)).real

    return Problem(
        f, _image(), (0.0, HORIZON), lambda zs: zs[-1].square().mean(), name="convolution",
        params={"kernel": kernel}, exact=exact,
    )  # fmt: skip


def _image() -> Tensor:
    """A face: something of which everybody sees when it is not itself any more."""
    import torch

    line = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    radius = (x**2 + y**2).sqrt()
    head = (radius < 0.85).double() - 0.4 * ((radius < 0.85) & (radius > 0.75)).double()
    eyes = sum(((x - side) ** 2 + (y + 0.25) ** 2 < 0.018).double() for side in (-0.32, 0.32))
    mouth = ((radius > 0.42) & (radius < 0.55) & (y > 0.12)).double()
    return head - 0.9 * (eyes + mouth).clamp(max=1)


def conclude(results: Results) -> Conclusion:
    """How far the reconstruction is from the image, and what that does to the gradient."""
    runs = [results[f"rtol_{rtol:g}"] for rtol in TOLERANCES]
    shown = results[f"rtol_{SHOWN:g}"]
    back = shown["there_and_back"]
    lost = [r for r, run in zip(TOLERANCES, runs, strict=True) if _is_lost(run)]
    error = _text(back)
    claims = [
        Claim(
            "the reverse-time reconstruction of an image mismatches with ode45",
            "visibly, in a picture",
            f"relative error {error} at rtol {SHOWN:g}; lost at {len(lost)} of {len(runs)} "
            "tolerances",
            "agrees" if _is_lost(shown) else "contradicts",
            f"the forward solve itself is right to {scientific(back.get('forward_error'))}",
        ),
        Claim(
            "ACA guarantees the accuracy of the gradient",
            "yes",
            f"gradient error of aca {scientific(shown['aca']['error'])}, of the adjoint "
            f"{_text(shown['adjoint'])} at rtol {SHOWN:g}",
            "agrees" if (shown["aca"]["error"] or math.inf) < 10 * SHOWN else "contradicts",
            "modes of a linear field do not mix: where z̄ is lost, the adjoint state that it is "
            "multiplied with is as small, so that the adjoint's gradient is right without z̄",
        ),
    ]
    return Conclusion(
        f"At rtol {SHOWN:g} the image {'does not come' if _is_lost(shown) else 'comes'} back "
        f"(relative error {error}); the forward solve is right to "
        f"{scientific(back.get('forward_error'))}. The gradient of aca is right to "
        f"{scientific(shown['aca']['error'])}, that of the adjoint to {_text(shown['adjoint'])}.",
        claims,
        [_images(back), _errors(results)],
        notes=[
            f"z′ = K * z on a periodic {SIZE}×{SIZE} image, K a random blur less the "
            f"identity, 3×3, scaled to a largest |λ| of {STRENGTH:g}, T = {HORIZON:g}, dopri5 with "
            "rtol = atol. The truth is the closed form in Fourier space; L is the mean square of "
            "z(T).",
        ],
    )


def _is_lost(run: Mapping[str, Any]) -> bool:
    error = run["there_and_back"]["error"]
    return error is None or not error <= LOST


def _text(run: Mapping[str, Any]) -> str:
    return str(run.get("failure") or scientific(run["error"]))


def _images(back: Mapping[str, Any]) -> Picture:
    """Four panels in a row."""
    title = "An image, what the ODE makes of it, and what comes back"
    notes = ["Each panel has its own grey scale, from its smallest to its largest value."]
    panels = {name: back.get(name) for name in PANELS[:3]}
    if panels["reconstruction"] is not None:
        pairs = zip(panels["reconstruction"], back["input"], strict=True)
        panels["difference"] = [a - b for a, b in pairs]
    figure, top = blank(title, [], PANEL + 0.45, notes)
    rows: list[tuple[str, ...]] = []
    for i, (name, pixels) in enumerate(panels.items()):
        left = 0.1 + i * (PANEL + 0.16)
        axes = place(figure, left, top + 0.3, PANEL, WIDTH - left - PANEL)
        axes.set_title(name)
        axes.set_axis_off()
        if pixels is None:
            axes.text(0.5, 0.5, "failed", ha="center", transform=axes.transAxes)
            continue
        axes.imshow(_square(pixels), cmap="gray", interpolation="nearest")
        rows.append((name, general(min(pixels)), general(max(pixels))))
    text = "; ".join(f"{name} from {low} to {high}" for name, low, high in rows)
    table = Table("Range of every panel", ("panel", "smallest", "largest"), rows)
    return Picture("images", title, figure, f"{title}: {text}.", table)


def _square(pixels: Sequence[float]) -> list[Sequence[float]]:
    return [pixels[i : i + SIZE] for i in range(0, SIZE * SIZE, SIZE)]


def _errors(results: Results) -> Picture:
    title = "Error over tolerance"
    names = {"back": "image after reverse time", "adjoint": "adjoint's gradient",
             "aca": "aca's gradient"}  # fmt: skip
    styles = looks(list(names))
    entries: list[tuple[Handle, str]] = [
        (Line2D([], [], color=styles[n].colour, ls=styles[n].dash, marker=styles[n].marker), text)
        for n, text in names.items()
    ]
    figure, top = blank(title, entries, HEIGHT + 0.75)
    axes = place(figure, 0.95, top + 0.15, HEIGHT)
    axes.set_xscale("log")
    axes.set_yscale("log")
    runs = [results[f"rtol_{rtol:g}"] for rtol in TOLERANCES]
    series = {
        "back": [run["there_and_back"]["error"] for run in runs],
        **{m: [run[m]["error"] for run in runs] for m in METHODS},
    }
    for n, values in series.items():
        axes.plot(
            TOLERANCES, [math.nan if v is None else v for v in values],
            color=styles[n].colour, ls=styles[n].dash, marker=styles[n].marker, label=n,
        )  # fmt: skip
    axes.invert_xaxis()
    decades(axes.xaxis)
    decades(axes.yaxis)
    label(axes, "rtol = atol", "relative error", left=0.65)
    rows = [
        (scientific(rtol), *(scientific(series[n][i]) for n in series),
         *(count(runs[i][m]["nfe"]) for m in METHODS))
        for i, rtol in enumerate(TOLERANCES)
    ]  # fmt: skip
    columns = ("rtol", "image", "adjoint", "aca", "evaluations adjoint", "evaluations aca")
    ends = "; ".join(f"{names[n]} from {scientific(v[0])} to {scientific(v[-1])}"
                     for n, v in series.items())  # fmt: skip
    table = Table(title, columns, rows, frozenset())
    return Picture("errors", title, figure, f"{title}: {ends or NOTHING}.", table)


EXPERIMENT = Experiment(
    "An image through a convolution and back",
    "slides on the adaptive checkpoint adjoint (Zhuang et al., 2020), “experiment with an ODE "
    "defined by convolution”",
    "An image is the initial state of an ODE whose field is a convolution. It is solved forward "
    "and, from where it ended, backward, as a continuous adjoint does; what comes back is compared "
    "with the image, and the gradients of adjoint and ACA with the closed form.",
    cells,
    measure,
    conclude,
)

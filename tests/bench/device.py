"""Gradients at the batch sizes people train with, on a GPU if there is one: ours and libraries'.

``python -m tests.bench.device`` writes docs/gpu_benchmarks.md on a GPU. With ``--device cpu`` it
only prints, which shows that it runs; ``--small`` takes smaller batches.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from node_diag import Problem
from node_diag.errors import SolveError
from node_diag.field import Field
from node_diag.gradients.base import Setup, run
from node_diag.gradients.lookup import method_of
from node_diag.gradients.stopwatch import Stopwatch
from node_diag.loader import load
from node_diag.measure.counting import count
from node_diag.registry import SOLVERS
from node_diag.solvers.solution import Settings

RTOL, REPEATS, T = 1e-4, 5, 5.0
METHODS = (
    "aca", "direct", "naive", "adjoint", "torchdiffeq", "torchdiffeq-adjoint", "torchode",
    "torchode-backsolve",
)  # fmt: skip
PAGE = Path("docs/gpu_benchmarks.md")


class _Convolutions(nn.Module):
    """Two convolutions and a norm on images of 64 channels, as in classifiers of digits."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(torch.tanh(self.norm(z)))))


def convolutions(batch: int) -> Problem:
    """A batch of feature maps of 6 × 6, at the end of a stem."""
    torch.manual_seed(0)
    z0 = torch.randn(batch, 64, 6, 6)
    return Problem(
        _Convolutions(), z0, (0.0, T), lambda zs: zs[-1].square().mean(), name="convolutions"
    )


def problems(device: torch.device, *, small: bool) -> list[tuple[str, Problem]]:
    """Both, in float32 as they are trained."""
    rows, images = (64, 4) if small else (4096, 128)
    return [
        (
            f"spiral, 2 → 50 → 50 → 2, batch {rows:,}",
            load("spiral", {"batch": rows, "T": T}).to(torch.float32, device),
        ),
        (
            f"two convolutions of 64 channels, batch {images}",
            convolutions(images).to(torch.float32, device),
        ),
    ]


@dataclass(frozen=True)
class Row:
    """A method's gradient: what it evaluates, takes and holds.

    Attributes:
        trials: steps tried forward.
        seconds: of the forward and of the backward pass.
        overhead: seconds of the forward pass beyond f alone, for each trial.
        peak: bytes alive at once.
    """

    method: str
    trials: int
    nfe: tuple[int, int]
    seconds: tuple[float, float]
    overhead: float
    peak: int | None

    def markdown(self) -> str:
        """A row of the table."""
        forward, backward = (f"{1e3 * s:.1f}" for s in self.seconds)
        peak = "–" if self.peak is None else f"{self.peak / 2**20:.2f}"
        return (
            f"| {self.method} | {self.trials} | {self.nfe[0]} + {self.nfe[1]} "
            f"| {forward} | {backward} | {1e6 * self.overhead:.0f} | {peak} |"
        )


def alone(problem: Problem, evaluations: int, *, graph: bool) -> float:
    """Seconds of so many evaluations of f and nothing else."""
    field, z = Field(problem), problem.flat_z0().requires_grad_(graph)
    t = z.new_zeros(())

    def once() -> float:
        watch = Stopwatch(problem.device)
        with torch.set_grad_enabled(graph):
            for _ in range(evaluations):
                field(t, z)
        watch.lap()
        return watch.seconds()[0]

    once()
    return median(once() for _ in range(REPEATS))


def measured(name: str, problem: Problem) -> Row:
    """One method on one problem."""
    settings = Settings(SOLVERS.load("dopri5"), RTOL, RTOL)
    setup, method = Setup(settings, settings), method_of(name)
    found, counts = count(name, method, problem, setup)
    taken = run(name, method, problem, replace(setup, record=True)).solution
    runs = [run(name, method, problem, setup) for _ in range(REPEATS)]
    forward = median(r.forward_s for r in runs)
    trials = taken.n_accepted + len(taken.rejected)
    keeps_graph = name in ("direct", "naive", "torchdiffeq", "torchode")
    bare = alone(problem, found.nfe_forward, graph=keeps_graph)
    return Row(
        name,
        trials,
        (found.nfe_forward, found.nfe_backward),
        (forward, median(r.backward_s for r in runs)),
        (forward - bare) / max(trials, 1),
        counts.peak_bytes,
    )


def page(device: torch.device, *, small: bool) -> str:
    """The tables."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    lines = [
        "# Benchmarks on a GPU",
        "",
        f"Written by `python -m tests.bench.device` on {where}, torch {torch.__version__}: float32,",
        f"dopri5, rtol = atol = {RTOL:g}, medians of {REPEATS} runs, times by CUDA events. Overhead",
        "is the forward pass less f alone, with a graph where the method keeps one.",
        "",
    ]
    for title, problem in problems(device, small=small):
        lines += [
            f"## {title[0].upper()}{title[1:]}",
            "",
            "| method | trials | nfe forward + backward | forward ms | backward ms "
            "| overhead µs/trial | peak MiB |",
            "|---|---|---|---|---|---|---|",
        ]
        for name in METHODS:
            try:
                lines.append(measured(name, problem).markdown())
            except SolveError as error:
                lines.append(f"| {name} | {error} | | | | | |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; on a GPU also write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    device = torch.device(given.device)
    text = page(device, small=given.small)
    if device.type == "cuda":
        PAGE.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201 - the result of this command


if __name__ == "__main__":
    main()

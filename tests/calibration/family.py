"""Random problems whose gradients are known to thirty digits, or to seventeen.

Closed forms are evaluated in 60-digit arithmetic and differentiated there by central differences
with a step of 1e-20, which is right to forty digits. Van der Pol and Lotka–Volterra are solved by
their Taylor recurrences in the same arithmetic. Networks are solved in 80-bit floating point by
Gauss–Legendre collocation of order 20, all perturbations at once, and differentiated by differences
of order 12 with a step of 1/1024 or less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_diag import Problem

DIGITS = 60
STEPS = (1024, 4096, 16384, 65536)
SAME = 1e-18
"""Relative, times n: what 80-bit round-off, 1e-19 of the loss, leaves at a step of 1/n, times ten."""
_REACH = 6
_WEIGHTS = {
    k: Fraction((-1) ** (k + 1), k)
    * Fraction(math.comb(2 * _REACH, _REACH - k), math.comb(2 * _REACH, _REACH))
    for k in range(1, _REACH + 1)
}
"""Of the central difference of order 12: (−1)^(k+1) n!² / (k (n − k)! (n + k)!)."""
Vector = NDArray[np.float64]
Long = NDArray[np.longdouble]


@dataclass(frozen=True)
class Case:
    """A problem, and dL/dz0 and dL/dθ in the order of the flat gradient, in 80 bits."""

    name: str
    problem: Problem
    truth: Callable[[], Long]


def cases(count: int) -> Iterator[Case]:
    """``count`` problems, the kinds taking turns."""
    kinds = (linear, bent, scalar, vanderpol, lotkavolterra, network)
    for i in range(count):
        kind = kinds[i % len(kinds)]
        yield kind(np.random.default_rng(1000 + i), f"{kind.__name__} {i}")


# Closed forms.


def linear(random: np.random.Generator, name: str) -> Case:
    """z' = Az, up to four states, with rates of growth and decay up to 10 over the interval."""
    n = int(random.integers(1, 5))
    a = random.normal(size=(n, n)) * random.choice([0.3, 1.0, 3.0])
    z0, ts = random.normal(size=n), _times(random, 1.0 + 2.0 * random.random())
    weights = random.normal(size=(len(ts) - 1, n))

    def states(inputs: mpmath.matrix) -> list[mpmath.matrix]:
        matrix = mpmath.matrix(n, n)
        for i in range(n * n):
            matrix[i // n, i % n] = inputs[n + i]
        start = mpmath.matrix(inputs[:n])
        return [mpmath.expm(matrix * (mpmath.mpf(t) - ts[0])) * start for t in ts[1:]]

    parameter = torch.tensor(a)
    problem = _problem(lambda t, z: parameter @ z, z0, ts, weights, {"a": parameter}, name)
    return Case(name, problem, lambda: _differentiate(states, [*z0, *a.ravel()], weights))


def bent(random: np.random.Generator, name: str) -> Case:
    """A linear system in bent coordinates z = (y1, y2 + c y1²): nonlinear, with a closed form."""
    a, c = random.normal(size=(2, 2)), float(random.normal())
    z0, ts = random.normal(size=2), _times(random, 1.0 + 2.0 * random.random())
    weights = random.normal(size=(len(ts) - 1, 2))

    def states(inputs: list[mpmath.mpf]) -> list[mpmath.matrix]:
        z, matrix, bend = inputs[:2], mpmath.matrix([inputs[2:4], inputs[4:6]]), inputs[6]
        start = mpmath.matrix([z[0], z[1] - bend * z[0] ** 2])
        found: list[mpmath.matrix] = []
        for t in ts[1:]:
            y = mpmath.expm(matrix * (mpmath.mpf(t) - ts[0])) * start
            found.append(mpmath.matrix([y[0], y[1] + bend * y[0] ** 2]))
        return found

    matrix, bend = torch.tensor(a), torch.tensor(c, dtype=torch.float64)

    def f(t: Tensor, z: Tensor) -> Tensor:
        y = torch.stack([z[0], z[1] - bend * z[0] ** 2])
        dy = matrix @ y
        return torch.stack([dy[0], dy[1] + 2 * bend * y[0] * dy[0]])

    problem = _problem(f, z0, ts, weights, {"a": matrix, "c": bend}, name)
    return Case(name, problem, lambda: _differentiate(states, [*z0, *a.ravel(), c], weights))


def scalar(random: np.random.Generator, name: str) -> Case:
    """One state: logistic growth, cubic decay, or a rate that oscillates in time."""
    kind = int(random.integers(3))
    p = 0.5 + 2 * random.random(2)
    z0, ts = 0.2 + random.random(1), _times(random, 1.0 + 4.0 * random.random())
    weights = random.normal(size=(len(ts) - 1, 1))
    solutions = (
        lambda s, z, a, b: b / (1 + (b / z - 1) * mpmath.exp(-a * s)),
        lambda s, z, a, b: z / mpmath.sqrt(1 + 2 * a * s * z**2) * mpmath.exp(0 * b),
        lambda s, z, a, b: z * mpmath.exp(a / b * mpmath.sin(b * s)),
    )
    fields = (
        lambda t, z, q: q[0] * z * (1 - z / q[1]),
        lambda t, z, q: -q[0] * z**3,
        lambda t, z, q: q[0] * torch.cos(q[1] * t) * z,
    )

    def states(inputs: list[mpmath.mpf]) -> list[mpmath.matrix]:
        z, a, b = inputs
        return [mpmath.matrix([solutions[kind](mpmath.mpf(t), z, a, b)]) for t in ts[1:]]

    parameter = torch.tensor(p)
    problem = _problem(
        lambda t, z: fields[kind](t, z, parameter), z0, ts, weights, {"p": parameter}, name
    )
    return Case(name, problem, lambda: _differentiate(states, [*z0, *p], weights))


# Taylor series.


def vanderpol(random: np.random.Generator, name: str) -> Case:
    """μ up to 5, over up to half a period of relaxation oscillation."""
    mu, z0 = 0.3 + 4.7 * random.random(), random.normal(size=2)
    ts = _times(random, 1.0 + 4.0 * random.random())
    weights = random.normal(size=(len(ts) - 1, 2))

    def series(z: list[mpmath.mpf], p: list[mpmath.mpf], order: int) -> list[list[mpmath.mpf]]:
        x, y = [z[0]], [z[1]]
        square: list[mpmath.mpf] = []
        for k in range(order):
            square.append(_product(x, x, k))
            damping = _product([(1 if i == 0 else 0) - s for i, s in enumerate(square)], y, k)
            x.append(y[k] / (k + 1))
            y.append((p[0] * damping - x[k]) / (k + 1))
        return [x, y]

    parameter = torch.tensor(mu, dtype=torch.float64)

    def f(t: Tensor, z: Tensor) -> Tensor:
        return torch.stack([z[1], parameter * (1 - z[0] ** 2) * z[1] - z[0]])

    problem = _problem(f, z0, ts, weights, {"mu": parameter}, name)
    states = _taylor(series, ts, 2)
    return Case(name, problem, lambda: _differentiate(states, [*z0, mu], weights))


def lotkavolterra(random: np.random.Generator, name: str) -> Case:
    """Four rates, over about one period."""
    p, z0 = 0.5 + random.random(4), 0.5 + random.random(2)
    ts = _times(random, 1.0 + 5.0 * random.random())
    weights = random.normal(size=(len(ts) - 1, 2))

    def series(z: list[mpmath.mpf], q: list[mpmath.mpf], order: int) -> list[list[mpmath.mpf]]:
        x, y = [z[0]], [z[1]]
        for k in range(order):
            both = _product(x, y, k)
            x.append((q[0] * x[k] - q[1] * both) / (k + 1))
            y.append((q[2] * both - q[3] * y[k]) / (k + 1))
        return [x, y]

    parameter = torch.tensor(p)

    def f(t: Tensor, z: Tensor) -> Tensor:
        both = z[0] * z[1]
        return torch.stack(
            [parameter[0] * z[0] - parameter[1] * both, parameter[2] * both - parameter[3] * z[1]]
        )

    problem = _problem(f, z0, ts, weights, {"p": parameter}, name)
    states = _taylor(series, ts, 2)
    return Case(name, problem, lambda: _differentiate(states, [*z0, *p], weights))


# Networks.


def network(random: np.random.Generator, name: str) -> Case:
    """tanh(z³ W1) W2, two states, eight units: the usual small Neural ODE."""
    w1, w2 = random.normal(size=(2, 8)), 0.7 * random.normal(size=(8, 2))
    z0, ts = random.normal(size=2), _times(random, 1.0 + random.random())
    weights = random.normal(size=(len(ts) - 1, 2))
    first, second = torch.tensor(w1), torch.tensor(w2)

    def f(t: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(z**3 @ first) @ second

    problem = _problem(f, z0, ts, weights, {"w1": first, "w2": second}, name)

    def truth() -> Long:
        def loss(inputs: Long) -> Long:
            z = inputs[:, :2]
            v1, v2 = inputs[:, 2:18].reshape(-1, 2, 8), inputs[:, 18:].reshape(-1, 8, 2)

            def many(z: Long) -> Long:
                hidden = np.tanh(np.einsum("...bi,bij->...bj", z**3, v1))
                return np.einsum("...bj,bjk->...bk", hidden, v2)

            total = np.zeros(len(inputs), dtype=np.longdouble)
            for k in range(1, len(ts)):
                z = _gauss(many, z, ts[k] - ts[k - 1])
                total += (weights[k - 1] * z**2).sum(axis=-1)
            return total

        base = np.concatenate([z0, w1.ravel(), w2.ravel()]).astype(np.longdouble)
        return _gradient(loss, base)

    return Case(name, problem, truth)


# Arithmetic.


def _times(random: np.random.Generator, end: float) -> list[float]:
    inner = int(random.integers(0, 4))
    return [0.0, *sorted(float(t) for t in end * (0.1 + 0.8 * random.random(inner))), float(end)]


def _problem(
    f: Callable[[Tensor, Tensor], Tensor],
    z0: Vector,
    ts: list[float],
    weights: Vector,
    params: dict[str, Tensor],
    name: str,
) -> Problem:
    w = torch.tensor(weights)
    return Problem(f, torch.tensor(z0), ts, lambda zs: (w * zs**2).sum(), params=params, name=name)


def _differentiate(
    states: Callable[[list[mpmath.mpf]], list[mpmath.matrix]], inputs: list[float], weights: Vector
) -> Long:
    """Gradient of Σ w z² by central differences with a step of 1e-20 in 60 digits."""
    with mpmath.workdps(DIGITS):
        base = [mpmath.mpf(float(x)) for x in inputs]
        step = mpmath.mpf(10) ** -20

        def loss(x: list[mpmath.mpf]) -> mpmath.mpf:
            return sum(
                mpmath.mpf(float(w)) * z**2
                for row, state in zip(weights, states(x), strict=True)
                for w, z in zip(row, state, strict=True)
            )

        found: list[mpmath.mpf] = []
        for i in range(len(base)):
            ends = [
                loss([x + (s * step if j == i else 0) for j, x in enumerate(base)]) for s in (1, -1)
            ]
            found.append((ends[0] - ends[1]) / (2 * step))
        return _as_long(found)


def _as_long(values: list[mpmath.mpf]) -> Long:
    return np.array([np.longdouble(mpmath.nstr(value, 30)) for value in values])


def _product(a: list[mpmath.mpf], b: list[mpmath.mpf], k: int) -> mpmath.mpf:
    """Coefficient k of the product of two series."""
    return mpmath.fdot(a[: k + 1], b[k::-1] if k else b[:1])


def _taylor(series: Callable[..., list[list[mpmath.mpf]]], ts: list[float], n_state: int):
    """States at ts[1:] by Taylor steps of order 60, short enough for fifty digits."""
    order = 60

    def states(inputs: list[mpmath.mpf]) -> list[mpmath.matrix]:
        z, p = list(inputs[:n_state]), list(inputs[n_state:])
        found: list[mpmath.matrix] = []
        t = mpmath.mpf(ts[0])
        for target in map(mpmath.mpf, ts[1:]):
            while t < target:
                coefficients = series(z, p, order)
                last = max(abs(c[-1]) for c in coefficients) or mpmath.mpf(10) ** -DIGITS
                h = min(target - t, (mpmath.mpf(10) ** -50 / last) ** (mpmath.mpf(1) / order))
                z = [mpmath.polyval(c[::-1], h) for c in coefficients]
                t = target if h == target - t else t + h
            found.append(mpmath.matrix(z))
        return found

    return states


def _gauss(f: Callable[..., Long], z: Long, span: float):
    """Gauss–Legendre collocation of order 20 in 80 bits, (B, D) → (B, D)."""
    nodes, a, b = _collocation(10)
    count = max(4, math.ceil(20 * span))
    h = np.longdouble(span) / count
    for _ in range(count):
        k = np.broadcast_to(f(z), (len(nodes), *z.shape)).copy()
        for _ in range(60):
            new = f(z + h * np.einsum("ij,jbd->ibd", a, k))
            moved = np.max(np.abs(new - k))
            k = new
            if moved < 1e-18 * max(1.0, float(np.max(np.abs(k)))):
                break
        z = z + h * np.einsum("i,ibd->bd", b, k)
    return z


def _collocation(s: int):
    """Nodes, weights of the stages and of the step, right to 80 bits."""
    with mpmath.workdps(40):
        guesses = np.polynomial.legendre.leggauss(s)[0]
        roots = [mpmath.findroot(lambda x: mpmath.legendre(s, x), float(g)) for g in guesses]
        c = [(1 + r) / 2 for r in roots]
        basis = [_lagrange(c, j) for j in range(s)]

        def integral(poly: list[mpmath.mpf], x: mpmath.mpf) -> mpmath.mpf:
            return sum(p * x ** (k + 1) / (k + 1) for k, p in enumerate(poly))

        a = [[integral(basis[j], c[i]) for j in range(s)] for i in range(s)]
        b = [integral(basis[j], mpmath.mpf(1)) for j in range(s)]
        return _as_long(c), np.stack([_as_long(row) for row in a]), _as_long(b)


def _lagrange(c: list[mpmath.mpf], j: int) -> list[mpmath.mpf]:
    """Coefficients of the j-th Lagrange polynomial, the constant first."""
    poly = [mpmath.mpf(1)]
    for m, node in enumerate(c):
        if m != j:
            scale = c[j] - node
            shifted = [mpmath.mpf(0), *poly]
            poly = [
                (shifted[k] - node * (poly[k] if k < len(poly) else 0)) / scale
                for k in range(len(shifted))
            ]
    return poly


def _gradient(loss: Callable[[Long], Long], base: Long) -> Long:
    """Differences by the longest step that a shorter one does not contradict.

    Which it does by more than its own round-off. Where a network turns fast, 1/1024 leaves 1e-12,
    and now and then 1e-4.
    """
    found = _differences(loss, base, np.longdouble(1) / STEPS[0])
    for n in STEPS[1:]:
        shorter = _differences(loss, base, np.longdouble(1) / n)
        gap = float(np.linalg.norm((found - shorter).astype(np.float64)))
        if gap <= SAME * n * float(np.linalg.norm(shorter.astype(np.float64))):
            break
        found = shorter
    return found


def _differences(loss: Callable[[Long], Long], base: Long, h: np.longdouble) -> Long:
    """Differences of order 12."""
    n = base.size
    rows = np.tile(base, (2 * _REACH * n, 1))
    place = [(i, k, s) for k in _WEIGHTS for s in (1, -1) for i in range(n)]
    for row, (i, k, s) in enumerate(place):
        rows[row, i] += s * k * h
    values = loss(rows)
    found = np.zeros(n, dtype=np.longdouble)
    exact = {k: np.longdouble(w.numerator) / w.denominator for k, w in _WEIGHTS.items()}
    for value, (i, k, s) in zip(values, place, strict=True):
        found[i] += s * exact[k] * value / h
    return found

"""A Runge–Kutta method as data that checks itself. Plain Python: listing solvers needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose

Row = tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge–Kutta method with s stages, maybe with an embedded error estimate.

        k_i = f(t + c_i h, z + h Σ_j a_ij k_j)      z1 = z + h Σ_i b_i k_i      ê = h Σ_i e_i k_i

    Attributes:
        order: order of z1.
        c: nodes, s of them, c_0 = 0.
        a: strictly lower triangle, row i has i entries.
        b: weights of z1.
        e: weights of the error estimate, b minus those of the embedded method; None: fixed step.
        error_order: order of the embedded method's local error, the exponent of the controller.
        dense: row i holds the polynomial coefficients of θ, θ², … in
            z(t + θh) = z + h Σ_i dense_i(θ) k_i.
        dense_order: order of that continuous extension.
    """

    order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    dense: tuple[Row, ...]
    dense_order: int
    e: Row | None = None
    error_order: int = 0

    def __post_init__(self) -> None:
        stages = len(self.b)
        self._require(len(self.c) == len(self.a) == len(self.dense) == stages, "sizes differ")
        for i, row in enumerate(self.a):
            self._require(len(row) == i, f"row {i} of a has {len(row)} entries")
            self._require(isclose(sum(row), self.c[i], abs_tol=1e-14), f"Σ a_{i}j is not c_{i}")
        for q in range(1, min(self.order, 5) + 1):  # quadrature conditions
            moment = sum(b * c ** (q - 1) for b, c in zip(self.b, self.c, strict=True))
            self._require(isclose(moment, 1 / q, rel_tol=1e-13), f"Σ b c^{q - 1} is not 1/{q}")
        for weight, row in zip(self.b, self.dense, strict=True):
            self._require(isclose(sum(row), weight, abs_tol=1e-13), "dense(1) is not b")
        if self.e is not None:
            self._require(len(self.e) == stages, "e has the wrong size")
            self._require(abs(sum(self.e)) < 1e-14, "Σ e is not 0")
            self._require(self.error_order > 0, "an embedded method needs error_order")

    @staticmethod
    def _require(condition: bool, message: str) -> None:
        if not condition:
            raise ValueError(f"inconsistent tableau: {message}")

    @property
    def stages(self) -> int:
        """Evaluations of f in one trial, the first one included."""
        return len(self.b)

    @property
    def adaptive(self) -> bool:
        """Whether the tableau estimates its error."""
        return self.e is not None

    @property
    def fsal(self) -> bool:
        """First same as last: the last stage is f at the new state, so it opens the next step."""
        return self.b[-1] == 0.0 and self.a[-1] == self.b[:-1]

    @property
    def stages_for_z1(self) -> int:
        """Leading stages that z1 needs: a step redone without error estimate takes only these."""
        return max(i + 1 for i, weight in enumerate(self.b) if weight)


def hermite(b: Row, last: int) -> tuple[Row, ...]:
    """Cubic Hermite extension through z, z1 and the derivatives k_0 and k_last = f(t + h, z1).

    z(t + θh) = z + h [ (3θ² − 2θ³) Σ b_i k_i + (θ − 2θ² + θ³) k_0 + (−θ² + θ³) k_last ].
    """
    rows = [[0.0, 3 * weight, -2 * weight] for weight in b]
    rows[0] = [rows[0][0] + 1, rows[0][1] - 2, rows[0][2] + 1]
    rows[last] = [rows[last][0], rows[last][1] - 1, rows[last][2] + 1]
    return tuple(tuple(row) for row in rows)

"""Three bodies under gravity with unknown masses, observed at many times (Zhuang et al., 2020).

r_i′ = K₂ v_i,  v_i′ = K₁ Σ_{j≠i} m_j (r_j − r_i)/|r_j − r_i|³  with the constants of their released
example. The loss compares positions with those of the true masses (1.1, 1.1, 0.9).
"""

import torch
from torch import Tensor, nn

from node_diag import Problem

G = 6.67408e-11
MASS, LENGTH, SPEED = 1.989e30, 5.326e12, 3e4
TIME = 79.91 * 365 * 24 * 3600 * 0.51
K1 = G * TIME * MASS / (LENGTH**2 * SPEED)
K2 = SPEED * TIME / LENGTH
TRUE_MASSES = (1.1, 1.1, 0.9)
START = (
    ((0.0, 0.2, 0.0), (0.5, 0.0, 0.5), (0.0, 0.0, 0.5)),
    ((0.0, 0.1, 0.0), (0.0, 0.0, 0.1), (0.1, 0.0, 0.0)),
)


class ThreeBody(nn.Module):
    """z = (positions, velocities), shape (2, 3, 3); the three masses are the parameters."""

    def __init__(self, masses: tuple[float, float, float]) -> None:
        super().__init__()
        self.masses = nn.Parameter(torch.tensor(masses, dtype=torch.float64))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt."""
        r, v = z.unbind(-3)
        apart = r.unsqueeze(-3) - r.unsqueeze(-2)  # [i, j] = r_j − r_i
        # The diagonal is 0/1 instead of 0/0, so that its derivative is finite as well.
        distance = (apart.square().sum(-1) + torch.eye(3, dtype=z.dtype, device=z.device)).sqrt()
        pull = apart * (self.masses / distance**3).unsqueeze(-1)
        return torch.stack((K2 * v, K1 * pull.sum(-2)), -3)


def _observe(ts: Tensor, z0: Tensor) -> Tensor:
    """Positions for the true masses at ts[1:], from a solve far below any tolerance tested."""
    import numpy as np
    from scipy.integrate import solve_ivp

    true = ThreeBody(TRUE_MASSES)

    def rhs(t: float, y: "np.ndarray") -> "np.ndarray":
        with torch.no_grad():
            return true(torch.tensor(t), torch.from_numpy(y).reshape(2, 3, 3)).numpy().ravel()

    times = ts.numpy()
    found = solve_ivp(
        rhs, (times[0], times[-1]), z0.numpy().ravel(), "DOP853", times[1:], rtol=1e-12, atol=1e-14
    )
    return torch.from_numpy(np.ascontiguousarray(found.y.T)).reshape(-1, 2, 3, 3)[:, 0]


def problem(
    m1: float = 1.0, m2: float = 1.0, m3: float = 1.0, T: float = 1.0, n_obs: int = 20
) -> Problem:
    """Three bodies with guessed masses, compared with the true ones at n_obs times in (0, T]."""
    z0 = torch.tensor(START, dtype=torch.float64)
    ts = torch.linspace(0.0, T, n_obs + 1, dtype=torch.float64)
    observed = _observe(ts, z0)

    def mean_square_error(zs: Tensor) -> Tensor:
        return (zs[:, 0] - observed.to(zs)).square().mean()

    return Problem(
        ThreeBody((m1, m2, m3)),
        z0,
        ts,
        mean_square_error,
        name="threebody",
        description="gravity of three masses,  L = mean squared error of the positions",
    )

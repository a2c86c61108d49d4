"""Classical Runge–Kutta, order 4, fixed step.

Dense output: its natural continuous extension of order 3 (Zennaro, Math. Comp. 46, 1986).
"""

from node_diag.solvers.tableau import Tableau

TABLEAU = Tableau(
    order=4,
    c=(0.0, 0.5, 0.5, 1.0),
    a=((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
    b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    dense=(
        (1.0, -3 / 2, 2 / 3),
        (0.0, 1.0, -2 / 3),
        (0.0, 1.0, -2 / 3),
        (0.0, -1 / 2, 2 / 3),
    ),
    dense_order=3,
)

"""Heun's method (explicit trapezoidal rule), order 2, fixed step.

Dense output: the quadratic with slope k_0 at the start and k_1 at the end.
"""

from node_diag.solvers.tableau import Tableau

TABLEAU = Tableau(
    order=2,
    c=(0.0, 1.0),
    a=((), (1.0,)),
    b=(0.5, 0.5),
    dense=((1.0, -0.5), (0.0, 0.5)),
    dense_order=2,
)

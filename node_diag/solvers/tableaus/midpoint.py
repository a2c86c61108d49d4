"""Explicit midpoint rule, order 2, fixed step.

Dense output: the quadratic that matches z, its slope k_0 and z1.
"""

from node_diag.solvers.tableau import Tableau

TABLEAU = Tableau(
    order=2,
    c=(0.0, 0.5),
    a=((), (0.5,)),
    b=(0.0, 1.0),
    dense=((1.0, -1.0), (0.0, 1.0)),
    dense_order=2,
)

"""Bogacki–Shampine, order 3(2), adaptive, FSAL; called RK23 in the ACA paper.

Bogacki and Shampine, Appl. Math. Lett. 2 (1989). Dense output: cubic Hermite.
"""

from node_diag.solvers.tableau import Tableau, hermite

_B = (2 / 9, 1 / 3, 4 / 9, 0.0)

TABLEAU = Tableau(
    order=3,
    c=(0.0, 1 / 2, 3 / 4, 1.0),
    a=((), (1 / 2,), (0.0, 3 / 4), _B[:-1]),
    b=_B,
    e=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
    error_order=3,
    dense=hermite(_B, last=3),
    dense_order=3,
)

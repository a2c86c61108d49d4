"""Euler, order 1, fixed step; its discrete adjoint is backpropagation through a residual network.

Dense output: the straight line through the step.
"""

from node_diag.solvers.tableau import Tableau

TABLEAU = Tableau(order=1, c=(0.0,), a=((),), b=(1.0,), dense=((1.0,),), dense_order=1)

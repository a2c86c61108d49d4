"""node-diag: is the gradient your Neural ODE trains on right?"""
from node_diag.problem import Problem

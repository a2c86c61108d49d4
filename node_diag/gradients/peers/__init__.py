"""Other libraries' solvers and adjoints, run on a problem as their users run them."""

"""Solvers, one file of coefficients each."""

"""Explicit Runge–Kutta solvers with a graph of choice."""

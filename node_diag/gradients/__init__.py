"""Gradient methods, and the vjp they all go through."""

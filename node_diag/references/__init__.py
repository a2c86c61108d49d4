"""Gradients to hold others against, each with its uncertainty."""

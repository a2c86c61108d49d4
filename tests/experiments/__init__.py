"""Pages of the documentation from finished experiments."""

"""Other gradient checkers, measured on the same gradients."""

"""What a gradient costs: counts, bytes, graph depth, time; the last layer that sees torch."""

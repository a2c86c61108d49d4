"""Benchmarks: ratios within one run, never absolute times. ``python -m tests.bench``."""

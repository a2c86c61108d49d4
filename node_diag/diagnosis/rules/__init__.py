"""Findings, one file each."""

"""Measurements of the running system: load from perf_analyzer, and what it shows."""

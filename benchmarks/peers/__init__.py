"""`python -m benchmarks peers`: the same photos, networks and machine, relit by other ways of doing it, and by ours."""

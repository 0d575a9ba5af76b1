"""What several benchmarks need: photos, lights, requests, processes, Triton's statistics, perf_analyzer, reports."""

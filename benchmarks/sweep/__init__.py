"""`python -m benchmarks sweep`: batch size against throughput, latency and memory, measured by perf_analyzer."""

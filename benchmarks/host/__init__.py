"""`python -m benchmarks host`: what the path around the networks costs, each ratio beside its ideal."""

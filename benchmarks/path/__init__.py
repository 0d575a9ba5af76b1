"""What the path around the networks costs: `python -m benchmarks host | client | lights`."""

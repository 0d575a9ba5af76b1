"""Eight GPUs on a machine without one: the real path around stand-ins that only take the networks' time."""

"""The same Triton without Docker: the real tritonserver, from a wheel, as a child process."""

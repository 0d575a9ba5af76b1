"""What the containers run: Triton's entry point and health check, the one-shot export, the check of what is served."""

"""`make docker-test`: the images built and the compose file run for real, on a Docker engine of its own."""

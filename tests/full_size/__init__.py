"""Our graphs of the hub's networks beside the published modules, at full size with random weights."""

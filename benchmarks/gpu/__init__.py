"""What the networks cost on one GPU, in every form they can take there, and the whole service on it."""

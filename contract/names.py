"""The names of the models and of the pictures that they make."""

ENSEMBLE, DECODE = "relight", "decode"
STAGES = ("segment", "albedo", "shadow")  # networks that a preset chooses
NETWORKS = (*STAGES, "recombine")  # models that an export writes
MODELS = (ENSEMBLE, DECODE, *NETWORKS, "encode")

PER_LIGHT = ("output", "degraded", "shading", "environment")  # one picture for each light
# One picture for each photo; `input` is the photo itself, upright, scaled and cut as all others are.
PER_PHOTO = ("albedo", "mask", "alpha", "normal", "depth", "foreground", "background", "input")
PICTURES = PER_LIGHT + PER_PHOTO  # as FILES names them; the ensemble's outputs have the same names in capitals

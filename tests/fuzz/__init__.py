"""Fuzzers: damaged and random inputs for the parts that meet the world. `python -m tests.fuzz --help`."""

from tests.rig.places import as_triton_does

as_triton_does("decode")

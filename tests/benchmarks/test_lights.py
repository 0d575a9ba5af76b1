"""The benchmark of lights: the patterns alone are what the exported network draws them with."""

import pytest

from benchmarks.path import lights


def test_patterns_are_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lights, "ROUNDS", 1)
    assert 0.0 < lights.measure_patterns() < 10_000.0

"""How a model of the hub is had: tiny, random or loaded, as asked; without weights, a sentence says what to do."""

import pytest

from export.errors import ExportError
from export.networks.pattern_bank import PatternBank
from export.networks.presets import Choice, Options, build, get_model


@pytest.fixture(scope="module")
def patterns() -> PatternBank:
    return PatternBank()


@pytest.mark.parametrize(
    ("choice", "random_weights", "expected"),
    [
        (Choice("net"), False, ("loaded from hub/net", "hub/net")),
        (Choice("net", "folder"), False, ("loaded from folder", "folder")),
        (Choice("net"), True, ("random", "random")),
        (Choice("net", "folder"), True, ("loaded from folder", "folder")),  # a folder that is named is loaded
        (Choice("net", tiny=True), False, ("tiny", "random")),
    ],
)
def test_a_model_is_had_in_the_way_that_is_asked_for(
    patterns: PatternBank, choice: Choice, random_weights: bool, expected: tuple[str, str]
) -> None:
    ways = (lambda source: f"loaded from {source}", lambda: "random", lambda: "tiny")
    options = Options(patterns, random_weights=random_weights)
    assert get_model(choice, options, "hub/net", ways) == expected


@pytest.mark.parametrize("weights", ["segment sam3", "albedo marigold", "shadow depth-anything"])
def test_weights_that_are_not_there_leave_a_sentence(patterns: PatternBank, weights: str) -> None:
    stage, label = weights.split()
    with pytest.raises(ExportError, match=f"Name a folder that holds the weights, --{stage} {label}=FOLDER"):
        build(stage, Choice(label, "no/such/folder"), Options(patterns))

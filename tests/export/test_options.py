"""The command line says what it does and refuses what is impossible."""

import pytest

from export.__main__ import main


def test_help_begins_with_what_the_command_does_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    _, purpose, example, *_ = capsys.readouterr().out.split("\n\n")
    assert purpose.startswith("Write the networks of a preset into a model repository.")
    assert example.startswith("example: python -m export --preset full")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--albedo sam3", "--albedo sam3 is unknown: choose from delight, retinex, marigold, or name your own"),
        ("--segment sam3=", "--segment sam3= names no source"),
        ("--checkpoint a.pt", "--checkpoint a.pt is for a network of your own"),
        ("--albedo a:b --shadow c:d --checkpoint a.pt", "must say for which network: --checkpoint albedo=FILE"),
        ("--tokenizer x", "--tokenizer is for your own segment network"),
        ("--precision bf16", "ONNX Runtime has no bf16 convolutions"),
        ("--side 100", "--side must divide 768"),
        ("--no-residual", "--no-residual is for marigold, and albedo is delight: add --albedo marigold"),
        ("--steps 2 --albedo a:b", "--steps is for marigold, and albedo is a:b"),
        ("--selection union", "--selection is for sam3, and segment is selfie"),
    ],
)
def test_impossible_options_are_refused(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(line.split())
    assert message in capsys.readouterr().err

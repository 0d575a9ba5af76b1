"""Promises of docs/training.md: each command and snippet runs as written, and what is loaded trains a network."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from client.run_csv import main
from tests.rig.places import ROOT, SAMPLES
from tests.rig.runs import Server

SIDE = 96
BLOCK = re.compile(r"^```(python)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = ".venv/bin/python client/run_csv.py "
Batch = tuple[torch.Tensor, ...]  # a pair's input and its target, then its condition or its mask
OUTPUTS = ("out/back", "out/light", "out/delight", "out/parts", "out/edit")
MASKED = ("out/delight", "out/parts")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with small photos of two people in the document's tables."""
    folder = tmp_path_factory.mktemp("training")
    for name, box in (("astronaut.png", (100, 0, 356, 256)), ("grace_hopper.jpg", (100, 30, 420, 350))):
        with Image.open(SAMPLES / name) as photo:
            photo.convert("RGB").crop(box).resize((SIDE, SIDE)).save(folder / f"{name[:5]}.png")
    (folder / "people.csv").write_text("image_path,person\nastro.png,Eileen\ngrace.png,Grace\n")
    (folder / "intrinsic.csv").write_text("image_path,albedo_blend,specular\nastro.png,0,0\ngrace.png,0,0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def made(server: Server, place: Path) -> dict[str, list[Batch]]:
    """The first two batches of each snippet, by the folder that the command before it has written."""
    names: dict[str, Any] = {"__name__": "training"}
    batches: dict[str, list[Batch]] = {}
    output = ""
    for language, text in BLOCK.findall((ROOT / "docs" / "training.md").read_text("utf-8")):
        if language:
            exec(compile(text, "docs/training.md", "exec"), names)
            batches[output] = list(islice(names["batches"], 2))
        else:
            assert text.startswith(COMMAND)
            words = shlex.split(text.removeprefix(COMMAND))
            output = words[words.index("--output") + 1]
            assert main([*words, "--url", server.grpc_url, "--quiet"]) == 0
    return batches


def test_every_task_has_batches(made: dict[str, list[Batch]]) -> None:
    assert tuple(made) == OUTPUTS
    for batches in made.values():
        for picture in batches[0][:2]:
            assert picture.shape == (4, 3, SIDE, SIDE)
            assert 0 <= picture.min() < picture.mean() < picture.max() <= 1
    environment = made["out/light"][0][2]
    assert environment.shape == (4, 3, 32, 64)
    assert environment.min() >= 0
    assert environment.mean() > 0.05


@pytest.mark.parametrize("output", OUTPUTS)
def test_two_steps_train_a_network(made: dict[str, list[Batch]], output: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    before = [one.detach().clone() for one in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for source, target, *_ in made[output]:
        loss = nn.functional.mse_loss(network(source), target)
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("output", OUTPUTS)
def test_input_and_target_of_a_pair_show_the_same_photo(made: dict[str, list[Batch]], output: str) -> None:
    for batch in made[output]:
        for at in range(4):
            inside = batch[-1][at] > 0.5 if output in MASKED else torch.ones(3, SIDE, SIDE, dtype=torch.bool)
            pair = torch.stack([picture[at][inside] for picture in batch[:2]])
            assert torch.corrcoef(pair)[0, 1] > 0.5


def test_a_picture_is_its_albedo_times_its_shading(made: dict[str, list[Batch]]) -> None:
    for picture, albedo, shading, mask in made["out/parts"]:
        product = albedo * shading * 4
        inside = (mask == 1) & (product < 0.99)
        assert inside.float().mean() > 0.2
        assert (picture - product)[inside].abs().quantile(0.99) < 0.01


def test_people_are_split_and_trainers_get_a_table(made: dict[str, list[Batch]], place: Path) -> None:
    assert [path.parent.name for path in (place / "out" / "back" / "people").rglob("*.parquet")] == ["train"]
    pairs = [json.loads(line) for line in (place / "out" / "edit" / "pairs.jsonl").read_text().splitlines()]
    assert len(pairs) == 8
    for pair in pairs:
        assert (place / "out" / "edit" / pair["edit_image"]).is_file()
        assert (place / "out" / "edit" / pair["image"]).is_file()
        assert "light" in pair["prompt"]

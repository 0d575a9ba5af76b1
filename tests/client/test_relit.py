"""Promises of what `relight` returns: it shows, converts and saves its pictures."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from client import RelightError, Relit, relight
from tests.rig.runs import Server, small_table
from tests.rig.runs import relight as run

FILES = "output,shading,mask,normal,depth"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small photo and its table, which is the current one."""
    path = tmp_path_factory.mktemp("relit")
    small_table(path, "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path


@pytest.fixture(scope="module")
def relit(server: Server, folder: Path) -> Relit:
    """The photo under two lights."""
    return relight("a.png", url=server.grpc_url, lights=2, files=FILES)


def test_pictures_become_images(relit: Relit) -> None:
    assert np.array_equal(np.asarray(relit.pil("output", 1)), relit.output[1])
    assert np.array_equal(np.asarray(relit.pil("mask")), relit.mask)
    normal = np.asarray(relit.pil("normal")) / 127.5 - 1
    assert np.abs(normal - relit.normal).max() < 0.02
    shading = np.asarray(relit.pil("shading", 1)) / 255
    assert np.abs(shading**2.2 - np.clip(relit.shading[1], 0, 1)).max() < 0.02
    assert relit.pil("depth").mode == "L"
    for name, k, sentence in (("output", 2, "no output 2: k must be below 2"), ("albedo", 0, "albedo was not asked")):
        with pytest.raises(RelightError, match=sentence):
            relit.pil(name, k)


def test_pictures_become_tensors(relit: Relit) -> None:
    height, width = relit.mask.shape
    output, mask, normal, depth = (relit.to_torch(name) for name in ("output", "mask", "normal", "depth"))
    assert (output.shape, mask.shape) == ((2, 3, height, width), (1, 1, height, width))
    assert (normal.shape, depth.shape) == ((1, 3, height, width), (1, 1, height, width))
    assert {one.dtype for one in (output, mask, normal, depth)} == {torch.float32}
    assert torch.equal((output[1] * 255).round().byte(), torch.tensor(relit.output[1]).permute(2, 0, 1))
    assert (mask.max().item(), normal.min().item() < 0) == (1, True)
    assert torch.equal(depth[0, 0], torch.tensor(relit.depth))


def test_a_notebook_shows_all_pictures_in_a_strip(relit: Relit) -> None:
    strip = relit.show()
    assert strip.size == (7 * 260 - 4, 256)  # mask, normal, depth, two outputs and two shadings, as high as wide
    assert np.array_equal(np.asarray(strip.crop((780, 0, 1036, 256))), relit.output[0])
    with Image.open(io.BytesIO(relit._repr_png_())) as shown:
        assert (shown.format, shown.size) == ("PNG", strip.size)
    assert repr(relit).startswith("<Relit: 2 lights, 256 × 256, score 0.")
    assert repr(relit).endswith(": output, shading, mask, normal, depth>")


def test_saved_files_are_those_of_a_run(relit: Relit, server: Server, folder: Path) -> None:
    assert run(server, "small.csv", folder / "out", "--files", FILES, "--variants", "2", "--quiet") == 0
    written = {path.name: path for path in (folder / "out" / "small").glob("00000_*")}
    assert relit.save(folder / "saved") == folder / "saved" / "00000_metadata.json"
    saved = {path.name: path for path in (folder / "saved").iterdir()}
    assert sorted(saved) == sorted(written)
    ours, theirs = (json.loads(names.pop("00000_metadata.json").read_bytes()) for names in (saved, written))
    assert ours == {name: value for name, value in theirs.items() if name != "model_versions"}
    assert [name for name in saved if saved[name].read_bytes() != written[name].read_bytes()] == []
    assert relit.save(folder / "saved", number=7).name == "00007_metadata.json"
    with pytest.raises(RelightError, match=r"small\.csv/.* cannot be written|small\.csv cannot be written"):
        relit.save(folder / "small.csv")


def test_a_missing_pytorch_is_said_with_the_remedy(relit: Relit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RelightError, match=r"PyTorch is missing.*pip install torch"):
        relit.to_torch()

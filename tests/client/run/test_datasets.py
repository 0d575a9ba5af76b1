"""Promises of --dataset: `datasets` and `webdataset` read it, with every column, and the same however the run went."""

import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from client.light.light import named_light
from client.run_csv import main
from tests.rig.runs import Server, lines, relight, small_table, tree
from tests.rig.served import serving

KINDS = ("folder", "webdataset", "parquet")
FIRST = {"folder": "image", "webdataset": "output.png", "parquet": "output"}
# One call at a time is a batch of one, whose bytes do not depend on other requests.
OPTIONS = ("--files", "output,environment,albedo,mask", "--variants", "2", "--rows-per-tar", "2", "--quiet")
SPLIT = ("--split", "train=0.5,val=0.5", "--group-column", "person", "--window", "1")
CAPTION = 'Ada, "smiling"\nin the rain — 雨'
Load = Callable[..., Any]


@pytest.fixture(scope="module")
def server(plain_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose networks cost next to nothing."""
    with serving(plain_repository, tmp_path_factory.mktemp("triton")) as running:
        yield running


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small photos of three people, one given to a split, with captions and columns of difficult names."""
    path = small_table(tmp_path_factory.mktemp("photos"), *(f"{name}.png" for name in "abcde"))
    head = "image_path,person,caption,score,file_name,odd: {name},,environment,split\n"
    given = (("a", "Ada", CAPTION), ("b", "Eve", ""), ("c", "Ada", ""), ("d", "Cy", ""), ("e", "Eve", "last"))
    suns, splits = {"b": "low_sun", "d": "overcast"}, {"d": "test"}
    rows = []
    for name, person, caption in given:
        quoted = caption.replace('"', '""')
        photo = f'{name}.png,{person},"{quoted}",0.5,x.jpg,{name},2024-01-01'
        rows.append(f"{photo},{suns.get(name, '')},{splits.get(name, '')}\n")
    path.write_text(head + "".join(rows), "utf-8")
    return path


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, server: Server, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of each kind, made in one run from beginning to end."""
    output = tmp_path_factory.mktemp(request.param)
    assert relight(server, table, output, *OPTIONS, *SPLIT, "--dataset", request.param) == 0
    return output / "small"


@pytest.fixture(scope="module")
def unsplit(server: Server, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures in a folder, where only a column splits."""
    output = tmp_path_factory.mktemp("unsplit")
    assert relight(server, table, output, *OPTIONS, "--window", "1") == 0
    return output / "small"


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """`load_dataset`, without a network."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("hugging face")
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(cache))
        load_dataset = importlib.import_module("datasets").load_dataset
        yield lambda *arguments, **options: load_dataset(*arguments, **options, cache_dir=str(cache))


def kind_of(made: Path) -> str:
    return next(kind for kind in KINDS if kind in str(made))


def fields(kind: str, record: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = record["json"] if kind == "webdataset" else record
    return fields


def test_datasets_loads_the_folder_with_its_splits_and_every_column(made: Path, load: Load, table: Path) -> None:
    kind, loaded = kind_of(made), load(str(made))
    assert set(loaded) == {"train", "val", "test"}
    types = {name: feature.__class__.__name__ for name, feature in loaded["test"].features.items()}
    images = {"folder": ("image", "albedo", "mask"), "parquet": ("output", "albedo", "mask")}
    wanted = images.get(kind, ("output.png", "albedo.png", "mask.png"))
    assert {name for name, one in types.items() if one == "Image"} == set(wanted)
    records = {fields(kind, one)["key"]: one for split in loaded.values() for one in split}
    assert sorted(records) == [f"0000{row}_{k}" for row in range(5) for k in range(2)]
    for row, line in enumerate(lines(table)):
        for k in range(2):
            record = records[f"0000{row}_{k}"]
            found = fields(kind, record)
            own = {
                "image_path": line["image_path"],
                "caption": line["caption"],
                "score": "0.5",
                "person": line["person"],
            }
            assert own.items() <= found.items()
            assert (found["odd: {name}"], str(found["column_7"])[:10]) == (line["odd: {name}"], "2024-01-01")
            assert found["file_name_text" if kind == "folder" else "file_name"] == "x.jpg"
            assert found["relight_score"] > 0.5
            assert record[FIRST[kind]].size == (256, 256)
            assert found["instruction"] == found["instructions"][0]
    splits = {found["person"]: found["split"] for found in (fields(kind, one) for one in records.values())}
    assert splits["Cy"] == "test"
    for split, part in loaded.items():
        for one in part:
            assert fields(kind, one)["split"] == split == splits[fields(kind, one)["person"]]


def test_every_kind_holds_the_same_pictures_and_lights(made: Path, unsplit: Path, load: Load) -> None:
    kind, loaded = kind_of(made), load(str(made))
    (last,) = [one for part in loaded.values() for one in part if fields(kind, one)["key"] == "00003_1"]
    folder = unsplit / "test"
    with Image.open(folder / "00003_output_1.png") as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(last[FIRST[kind]]))
    entry = json.loads((folder / "00003_metadata.json").read_bytes())["lights"][1]
    assert named_light(fields(kind, last)["light"]).named() == entry


def test_datasets_loads_the_files_without_the_card(made: Path, load: Load, tmp_path: Path) -> None:
    kind = kind_of(made)
    shutil.copytree(made, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").unlink()
    place = {"data_dir": str(tmp_path / "copy")}
    if kind != "folder":
        place = {"data_files": str(tmp_path / "copy" / "*" / ("*.tar" if kind == "webdataset" else "*.parquet"))}
    loaded = load({"folder": "imagefolder"}.get(kind, kind), **place)
    assert sum(map(len, loaded.values())) == 10
    assert loaded["train"][0][FIRST[kind]].size == (256, 256)
    assert loaded["train"].features["albedo.png" if kind == "webdataset" else "albedo"].__class__.__name__ == "Image"


def test_the_package_webdataset_reads_the_tars(server: Server, table: Path, tmp_path: Path) -> None:
    webdataset = importlib.import_module("webdataset")
    options = ("--files", "all", "--dataset", "webdataset", "--limit", "3", "--quiet")
    assert relight(server, table, tmp_path, *options) == 0
    tars = sorted(str(tar) for tar in (tmp_path / "small").glob("*/*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    assert sorted(sample["__key__"] for sample in samples) == ["00000_0", "00001_0", "00002_0"]
    for sample in samples:
        assert sample["output.png"].size == sample["normal.png"].size == (256, 256)
        assert sample["environment.exr"][:4] == b"\x76\x2f\x31\x01"
        assert sample["json"]["light"]["sources"]


def test_a_dataset_has_the_same_bytes_however_the_run_went(
    made: Path, server: Server, table: Path, tmp_path: Path
) -> None:
    options = (*OPTIONS, *SPLIT, "--dataset", kind_of(made))
    assert relight(server, table, tmp_path, *options, "--limit", "3") == 0
    assert relight(server, table, tmp_path, *options, "--processes", "2") == 0
    assert tree(tmp_path / "small") == tree(made)
    for number in (2, 1):
        assert relight(server, table, tmp_path / "shards", *options, "--shard", f"{number}/2") == 0
    (tmp_path / "shards" / "small" / "README.md").write_text("old")
    assert relight(server, table, tmp_path / "shards", *options, "--rebuild-csv") == 0
    assert tree(tmp_path / "shards" / "small") == tree(made)


def test_rows_that_are_gone_leave_the_dataset(made: Path, server: Server, table: Path, tmp_path: Path) -> None:
    shutil.copytree(made.parent, tmp_path / "out")
    whole = table.read_text("utf-8")
    head, *rows = whole.splitlines(keepends=True)
    try:
        table.write_text(head + "".join(rows[:2] + rows[3:4] + rows[5:]), "utf-8")  # without b.png and d.png
        options = (*OPTIONS, *SPLIT, "--dataset", kind_of(made))
        assert relight(server, table, tmp_path / "out", *options, "--prune") == 0
        assert relight(server, table, tmp_path / "new", *options) == 0
    finally:
        table.write_text(whole, "utf-8")
    left, new = (tree(tmp_path / name / "small") for name in ("out", "new"))
    assert not [name for name in left if "00003" in name or name.startswith("test/")]
    assert "3 photos" in left["README.md"].decode()
    assert left["README.md"] == new["README.md"]


def test_a_caption_that_changes_reaches_the_dataset(made: Path, server: Server, table: Path, tmp_path: Path) -> None:
    shutil.copytree(made.parent, tmp_path / "out")
    whole = table.read_text("utf-8")
    options = (*OPTIONS, *SPLIT, "--dataset", kind_of(made))
    try:
        table.write_text(whole.replace('"last"', '"changed"'), "utf-8")
        assert relight(server, table, tmp_path / "out", *options, "--prune") == 0
    finally:
        table.write_text(whole, "utf-8")
    content = b"".join(tree(tmp_path / "out" / "small").values())
    assert (b"changed" in content, b'"last"' in content) == (True, False)


def test_rows_with_the_photo_of_another_are_said_left_out_or_kept(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = small_table(tmp_path, "a.png", "b.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "copy.png")
    table.write_text("image_path,pattern\nb.png,\na.png,\ncopy.png,\na.png,window\nmissing.png,\nb.png,\n")
    fast = ("--files", "mask", "--quiet", "--window", "1")
    assert relight(server, table, tmp_path / "warn", *fast) == 1
    told = capsys.readouterr().err
    assert "2 rows repeat the photo of another: 00002 has that of 00001, 00005 has that of 00000" in told
    assert relight(server, table, tmp_path / "keep", *fast, "--duplicates", "keep") == 1
    assert "repeat" not in capsys.readouterr().err
    skip = (*fast, "--duplicates", "skip")
    assert relight(server, table, tmp_path / "skip", *skip) == 1
    errors = [line["error"] for line in lines(tmp_path / "skip" / "small.csv")]
    assert errors[2] == "the photo is that of row 2; --duplicates keep relights it too"
    assert [bool(error) for error in errors] == [False, False, True, False, True, True]
    assert relight(server, table, tmp_path / "other", *skip, "--shard", "2/2") == 1
    assert relight(server, table, tmp_path / "other", *skip) == 1
    assert (tmp_path / "other" / "small.csv").read_bytes() == (tmp_path / "skip" / "small.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--group-column", "person"), "--group-column needs --split"),
        (
            ("--split", "a=1", "--group-column", "who"),
            "has no column who for --group-column; the columns found are: image_path",
        ),
    ],
)
def test_splits_that_cannot_be_made_are_refused(
    options: tuple[str, ...], sentence: str, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relight(server, small_table(tmp_path, "a.png"), tmp_path / "out", *options) == 2
    assert sentence in capsys.readouterr().err


def test_a_split_that_is_no_name_fails_its_row(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png")
    table.write_text("image_path,split\na.png,../up\na.png,\n")
    assert relight(server, table, tmp_path / "out", "--files", "mask", "--quiet") == 1
    first, second = lines(tmp_path / "out" / "small.csv")
    assert first["error"] == "column split must be a name such as train, of letters and numbers, not '../up'"
    assert second["output_image_path"] == "small/train/00001_mask.png"


def test_the_old_name_of_the_option_says_the_new_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--csv", "a.csv", "--output", str(tmp_path), "--writer", "files"])
    assert "it is called --dataset now, with one of folder, webdataset, parquet, null" in capsys.readouterr().err

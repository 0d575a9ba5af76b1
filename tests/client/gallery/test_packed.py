"""Galleries of datasets in tars and Parquet files: their pictures are unpacked, smaller, once."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from client.gallery.__main__ import BAD_USAGE, DONE, main
from client.gallery.thumbnails import FOLDER, SHOWN
from tests.rig.finished_runs import COLORS, made_light, parsed

KINDS = ("output", "mask", "input")
NO_ENVIRONMENT = {"name": "", "azimuth": 0.0, "exposure": 0.0, "split": False}


def record(number: int) -> dict[str, Any]:
    """A record as a packed dataset has it: nothing is null, and a column of the table keeps its name."""
    light = {**made_light(90.0 * number).named(), "environment": NO_ENVIRONMENT, "backdrop": ""}
    words = {name: light.pop(name) for name in ("instruction", "instructions")}
    about = {"key": f"{number:05d}_0", "split": "train", "relight_score": 0.75, "light": light}
    return about | words | {"image_path": f"portrait_{number}.jpg", "score": "a column of the table"}


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1024, 512), COLORS[number % len(COLORS)]).save(stream, "PNG")
    return stream.getvalue()


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            files = {f"{kind}.png": picture(number + k) for k, kind in enumerate(KINDS)}
            for ending, content in {**files, "json": json.dumps(record(number)).encode()}.items():
                member = tarfile.TarInfo(f"{number:05d}_0.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_parquet(path: Path) -> None:
    rows = [
        {kind: {"bytes": picture(number + k), "path": ""} for k, kind in enumerate(KINDS)} | record(number)
        for number in range(3)
    ]
    table = pyarrow.Table.from_pylist(rows)
    about = {"relight": json.dumps({"pictures": KINDS})}
    parquet.write_table(table.replace_schema_metadata(about), path, row_group_size=2)


@pytest.mark.parametrize("ending", ["tar", "parquet"])
def test_each_record_is_a_picture_with_its_photo(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "val_images"
    for folder in ("journal", "train"):
        (run / folder).mkdir(parents=True)
    packed = run / "train" / f"00000.{ending}"
    {"tar": write_tar, "parquet": write_parquet}[ending](packed)
    assert main([str(run)]) == DONE
    index = parsed(run / FOLDER / "index.js")
    assert index["pictures"]["state"] == [SHOWN] * 3
    assert index["pictures"]["azimuth"] == [0, 90, 180]
    assert index["pictures"]["environment"] == [0, 0, 0]
    assert index["names"]["split"] == ["train"]
    assert index["photos"]["score"] == [0.75] * 3
    details = parsed(run / FOLDER / "part_00000.js")[2]
    assert details["files"] == {"output": ["00002_0.output.webp"], "input": ["00002_0.input.webp"]}
    assert details["row"] == {"image_path": "portrait_2.jpg", "score": "a column of the table"}
    views = run / FOLDER / "views" / "train" / packed.name
    with Image.open(views / "00002_0.output.webp") as view:
        assert view.size == (768, 384)
    written = {path: path.stat().st_ino for path in views.iterdir()}
    assert len(written) == 6
    main([str(run)])
    assert {path: path.stat().st_ino for path in views.iterdir()} == written
    assert "0 new thumbnails" in capsys.readouterr().err.splitlines()[-2]


def test_a_damaged_tar_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "journal").mkdir(parents=True)
    (tmp_path / "run" / "00000.tar").write_bytes(b"no tar" * 200)
    assert main([str(tmp_path / "run")]) == BAD_USAGE
    assert "00000.tar is damaged, or no dataset of run_csv.py" in capsys.readouterr().err

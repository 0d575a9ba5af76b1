"""`python -m client.gallery`: what it reads of a run, the thumbnails that it makes, and the page that it writes."""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from client.gallery.__main__ import BAD_USAGE, DONE, main
from client.gallery.runs import read_runs
from client.gallery.thumbnails import FOLDER, MISSING, SHOWN, UNREADABLE
from contract.files import parse_files
from tests.rig.finished_runs import FinishedRun, made_light, parsed, small_run

EVIL = "</script><img src=x onerror=alert(1)>\u2028{{code}}"


def index_of(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = parsed(folder / FOLDER / "index.js")
    return index


def test_the_index_has_every_picture_and_every_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small_run(tmp_path)
    assert main([str(run)]) == DONE
    told = "12 pictures, 2 failures, 12 new thumbnails, 0 pictures that cannot be shown"
    assert capsys.readouterr().err == f"{told}\npage: {run / 'gallery.html'}\n"
    index = index_of(run)
    names, pictures = index["names"], index["pictures"]
    assert pictures["file"][:2] == ["00000_output_0.png", "00000_output_1.png"]
    assert pictures["azimuth"][:3] == [0, 200, 30]
    assert pictures["ambient"][1::2] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [names["pattern"][k] for k in pictures["pattern"][:4]] == ["venetian_blinds", "none", "window", "none"]
    assert [names["setup"][k] for k in pictures["setup"][:2]] == ["key", "key + rim"]
    assert [names["split"][k] for k in index["photos"]["split"]] == ["train"] * 5 + ["val"]
    (lost,) = [one for one in index["failures"] if one["path"] == "lost.jpg"]
    assert (lost["row"], lost["cause"]) == (
        "8",
        "there is no file photos/lost.jpg; correct image_path or put the photo there",
    )
    details = parsed(run / FOLDER / "part_00000.js")
    assert details[5]["row"] == {"image_path": "portrait_5.jpg", "split": "val"}
    assert details[5]["files"]["mask"] == ["00005_mask.png"]
    assert details[5]["lights"][1]["sources"][1]["kind"] == "rim"


def test_a_second_run_makes_only_the_thumbnails_that_are_missing_or_old(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    main([str(run)])
    thumbnails = sorted((run / FOLDER / "thumbnails").iterdir())
    assert Image.open(thumbnails[0]).size == (48, 48)
    before = {path: path.stat().st_ino for path in thumbnails}
    thumbnails[3].unlink()
    later = thumbnails[7].stat().st_mtime + 10
    os.utime(run / thumbnails[7].stem, (later, later))
    main([str(run)])
    changed = [path for path in thumbnails if path.stat().st_ino != before[path]]
    assert set(changed) <= {thumbnails[3], thumbnails[7]}
    assert thumbnails[7] in changed


def test_a_thumbnail_shows_linear_light_as_srgb(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path)
    run.done(("a.jpg", ""), [made_light().named()], kinds=())
    _, half = cv2.imencode(".png", np.full((400, 300, 3), 0x8000, np.uint16))
    head = 33  # bytes of the signature and IHDR
    gamma = b"gAMA" + (100_000).to_bytes(4, "big")  # as encode writes linear values
    chunk = (4).to_bytes(4, "big") + gamma + zlib.crc32(gamma).to_bytes(4, "big")
    png = half.tobytes()
    (run.folder / "00000_output.png").write_bytes(png[:head] + chunk + png[head:])
    main([str(run.close())])
    with Image.open(run.folder / FOLDER / "thumbnails" / "00000_output.png.webp") as thumbnail:
        assert thumbnail.size == (192, 256)
        assert np.abs(np.asarray(thumbnail).astype(int) - 188).max() <= 2


def test_the_details_say_which_files_are_darker_than_they_mean(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path)
    run.done(("a.jpg", ""), [made_light().named()])
    path = run.folder / "00000_metadata.json"
    values = {kind: parse_files(f"{kind};png").values(kind) for kind in ("output", "shading", "normal")}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"values": values}))
    main([str(run.close())])
    assert parsed(run.folder / FOLDER / "part_00000.js")[0]["dark"] == ["shading"]


def test_no_text_of_a_run_is_ever_code(tmp_path: Path) -> None:
    (tmp_path / EVIL.replace("/", "")).mkdir()
    run = FinishedRun(tmp_path / EVIL.replace("/", ""), "run<b>&{{code}}", ("image_path", "__proto__", EVIL))
    light = made_light().named() | {"instruction": EVIL}
    run.done((EVIL, "x", EVIL), [light])
    run.failed((EVIL, "", ""), EVIL)
    main([str(run.close())])
    page = (run.folder / "gallery.html").read_text()
    assert "<b>" not in page
    assert page.count("<script") == page.count("</script") == 2
    assert "<h1>run&lt;b&gt;&amp;{{code}}</h1>" in page
    for script in (run.folder / FOLDER).glob("*.js"):
        assert "<" not in script.read_text("ascii")
    details = parsed(run.folder / FOLDER / "part_00000.js")
    assert details[0]["row"] == {"image_path": EVIL, "__proto__": "x", EVIL: EVIL}


def test_what_cannot_be_shown_is_said_of_each_picture(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path)
    for number in range(4):
        run.done((f"{number}.jpg", ""), [made_light().named()])
    (run.folder / "00001_output.png").unlink()
    (run.folder / "00002_output.png").write_bytes(b"no picture")
    (run.folder / "00003_metadata.json").write_text('{"schema": "relight-metadata/1"}')
    main([str(run.close())])
    index = index_of(run.folder)
    assert index["pictures"]["state"] == [SHOWN, MISSING, UNREADABLE]
    (old,) = index["failures"]
    assert old["path"] == "00003_metadata.json"
    assert "another version (relight-metadata/1)" in old["cause"]


def test_the_table_decides_which_files_count(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    table = run.with_suffix(".csv")
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:1] + lines[3:]))  # the first photo's two pictures are gone
    assert len(read_runs(run).photos) == 5
    table.unlink()  # the first run is not over
    assert len(read_runs(run).photos) == 6


def test_a_page_shows_all_runs_in_a_folder_and_folders_in_a_run(tmp_path: Path) -> None:
    for name, place in (("flat", ""), ("sharded", "00000"), ("split", "test")):
        run = FinishedRun(tmp_path, name)
        run.done(("a.jpg", ""), [made_light().named()], place=place)
        run.close()
    assert main([str(tmp_path)]) == DONE
    index = index_of(tmp_path)
    assert index["names"]["place"] == ["flat", "sharded/00000", "split/test"]
    assert index["names"]["split"] == ["", "test"]
    assert (tmp_path / FOLDER / "thumbnails" / "sharded" / "00000" / "00000_output.png.webp").exists()
    assert [photo.values["image_path"] for photo in read_runs(tmp_path).photos] == ["a.jpg"] * 3


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == BAD_USAGE
    assert main([str(tmp_path / "nowhere")]) == BAD_USAGE
    holds_none, is_none = capsys.readouterr().err.splitlines()
    assert "holds no run of run_csv.py" in holds_none
    assert "there is no folder" in is_none

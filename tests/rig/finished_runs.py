"""Runs as the command leaves them, made by hand: folders of pictures and metadata with a table beside them."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from client.light.light import Light, light_of, source_of
from client.output.files import SCHEMA, encode_metadata
from tests.rig.lights import light as numbers_of

COLORS = ("firebrick", "seagreen", "royalblue", "goldenrod")


def made_light(azimuth: float = 225.0, elevation: float = 45.0, pattern: str = "", **numbers: float) -> Light:
    """A light with a key source and, for `rim=INTENSITY`, one behind the person."""
    rim = numbers.pop("rim", 0.0)
    number = {"": 0.0, "tree_foliage": 1.0, "venetian_blinds": 2.0, "window": 3.0}[pattern]
    key = source_of("key", numbers_of(azimuth, elevation, pattern_id=number), pattern)
    others = [source_of("rim", numbers_of(180, -40, intensity=rim))] if rim else []
    ambient = numbers.pop("ambient", 0.3)
    even = {f"irradiance_0_{channel}": ambient for channel in ("red", "green", "blue")}
    return light_of("0" * 16, [key, *others], even | numbers, ambient=ambient)


class FinishedRun:
    """`<output>/<name>` and `<output>/<name>.csv`, row by row; `close` writes the tables."""

    def __init__(
        self, output: Path, name: str = "val_images", columns: Sequence[str] = ("image_path", "split")
    ) -> None:
        self.folder = output / name
        (self.folder / "journal").mkdir(parents=True)
        self._columns = columns
        self._rows = 0
        self._lines: list[list[str]] = []
        self._failures: list[list[str]] = []

    def done(
        self,
        values: Sequence[str],
        lights: Sequence[Mapping[str, Any]],
        *,
        side: int = 48,
        score: float = 0.9,
        kinds: Sequence[str] = ("albedo", "mask"),
        place: str = "",
    ) -> None:
        """A row with a picture for each light, entries of the metadata, and one file of each of `kinds`."""
        number, self._rows = self._rows, self._rows + 1
        endings = [f"output_{k}" for k in range(len(lights))] if len(lights) > 1 else ["output"]
        files = {"output": [f"{number:05d}_{ending}.png" for ending in endings]}
        files |= {kind: [f"{number:05d}_{kind}.png"] for kind in kinds}
        folder = self.folder / place
        folder.mkdir(exist_ok=True)
        for k, name in enumerate(name for names in files.values() for name in names):
            Image.new("RGB", (side, side), COLORS[(number + k) % len(COLORS)]).save(folder / name)
        metadata = _metadata(values[0], files, lights, side, score)
        (folder / f"{number:05d}_metadata.json").write_bytes(metadata)
        for name in files["output"]:
            self._lines.append([*values, "/".join(filter(None, (self.folder.name, place, name))), ""])

    def failed(self, values: Sequence[str], cause: str) -> None:
        """A row that failed."""
        self._rows += 1
        self._lines.append([*values, "", cause])
        self._failures.append([*values, "photos", str(self._rows), cause])

    def add(self, lines: Sequence[list[str]]) -> None:
        """Lines of the table, whose files are made elsewhere."""
        self._lines += lines

    def close(self) -> Path:
        """Write the tables; return the run's folder."""
        _write(self.folder.with_suffix(".csv"), [*self._columns, "output_image_path", "error"], self._lines)
        if self._failures:
            _write(self.folder / "failed.csv", [*self._columns, "image_folder", "row", "cause"], self._failures)
        return self.folder


def small_run(output: Path) -> Path:
    """Twelve pictures of six photos and two failures; the folder of the run."""
    run = FinishedRun(output)
    for number in range(6):
        lights = [
            made_light(30.0 * number, pattern="window" if number == 1 else "venetian_blinds").named(),
            made_light(200.0, ambient=0.1 * number, rim=0.5).named(),
        ]
        split = "val" if number == 5 else "train"
        run.done((f"portrait_{number}.jpg", split), lights, score=0.5 + 0.08 * number)
    run.failed(("nobody.jpg", "train"), "Nobody found, best score 0.00: lower --score-threshold or change --prompt.")
    run.failed(("lost.jpg", "val"), "there is no file photos/lost.jpg; correct image_path or put the photo there")
    return run.close()


def large_run(output: Path, photos: int) -> Path:
    """A run with four pictures of each photo, whose files are not there; its folder."""
    entries = [made_light(15.0 * k, 5.0 * (k % 17), "window" if k % 3 else "", rim=k % 2).named() for k in range(24)]
    names = [f"#####_output_{k}.png" for k in range(4)]
    kinds = [
        _metadata("portrait_#####.jpg", {"output": names}, entries[first : first + 4], 8, 0.5 + first / 50)
        for first in range(len(entries) - 4)
    ]
    run = FinishedRun(output, columns=("image_path", "caption"))
    lines = []
    for number in range(photos):
        digits = f"{number:05d}"
        metadata = kinds[number % len(kinds)].replace(b"#####", digits.encode())
        (run.folder / f"{digits}_metadata.json").write_bytes(metadata)
        own = [f"portrait_{digits}.jpg", f"a caption of photo {number}"]
        lines += [[*own, f"val_images/{name.replace('#####', digits)}", ""] for name in names]
    run.add(lines)
    return run.close()


def parsed(script: Path) -> Any:
    """What a data script of a gallery gives to the page."""
    text = script.read_text("ascii")
    return json.loads(json.loads(text[text.index('"') : text.rindex('"') + 1]))


def _metadata(
    path: str, files: Mapping[str, Any], lights: Sequence[Mapping[str, Any]], side: int, score: float
) -> bytes:
    """The content of a photo's NNNNN_metadata.json."""
    metadata = {"image_path": path, "files": files, "lights": list(lights), "score": score, "schema": SCHEMA}
    values = dict.fromkeys(files, "sRGB, 8 bit")
    return encode_metadata(metadata | {"width": side, "height": side, "values": values})


def _write(table: Path, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *lines])

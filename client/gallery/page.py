"""Writes a gallery's page: gallery.html with all code, and beside it the data in scripts that browsers read from disk.

A browser loads scripts from file:// but no JSON. Texts of a run reach the page only as JSON in a string, which the page
parses and shows as text; no text is ever part of HTML or of code.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from client.gallery.runs import Photo, Picture, Runs
from client.gallery.thumbnails import FOLDER
from client.output.files import write_whole
from contract.files import WHITE

PAGE = "gallery.html"
PHOTOS_PER_PART = 50  # whose details are in one script
_SCRIPTS = ("data.js", "charts.js", "dial.js", "grid.js", "detail.js", "filters.js", "main.js")
_NOT_SHOWN = ("models", "values", "files", "lights", "schema")  # of the metadata, in the table of numbers


def write_page(folder: Path, runs: Runs, states: Sequence[int]) -> Path:
    """Write the page of `runs` and its data into `folder`; `states` are those of the pictures. Raises OSError."""
    data = folder / FOLDER
    data.mkdir(parents=True, exist_ok=True)
    old = set(data.glob("part_*.js"))
    for number, first in enumerate(range(0, len(runs.photos), PHOTOS_PER_PART)):
        part = [_details(photo) for photo in runs.photos[first : first + PHOTOS_PER_PART]]
        path = data / f"part_{number:05d}.js"
        write_whole(path, _call("galleryPart", number, part))
        old.discard(path)
    for path in old:
        path.unlink()
    title = folder.resolve().name
    write_whole(data / "index.js", _call("galleryIndex", _index(title, runs, states)))
    page = folder / PAGE
    write_whole(page, _html(title).encode())
    return page


def _html(title: str) -> str:
    """The page: its template with style and code, which alone its security policy lets run."""
    source = files("client.gallery") / "page"
    code = "\n".join((source / name).read_text("utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return (
        (source / "page.html")
        .read_text("utf-8")
        .replace("{{digest}}", digest)
        .replace("{{data}}", f"{FOLDER}/index.js")
        .replace("{{style}}", (source / "style.css").read_text("utf-8"))
        .replace("{{code}}", code)
        .replace("{{title}}", html.escape(title.encode(errors="replace").decode()))  # last: it may hold any text
    )


def _call(function: str, *arguments: Any) -> bytes:
    """A script that calls a function of the page. JSON in a string keeps a key `__proto__` what it is: a key."""
    *numbers, content = arguments
    text = json.dumps(json.dumps(content, separators=(",", ":"), allow_nan=False)).replace("<", "\\u003c")
    return f"{function}({''.join(f'{number}, ' for number in numbers)}{text});\n".encode()


class _Names:
    """Numbers texts by their first use, so that the index has each once."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))


def _index(title: str, runs: Runs, states: Sequence[int]) -> dict[str, Any]:
    """What the grid, the filters and the charts need of all pictures, in columns."""
    names = {name: _Names() for name in ("run", "split", "pattern", "setup", "environment", "place")}
    photos = [
        {
            "path": photo.metadata["image_path"],
            "text": " ".join(photo.values.values()),
            "score": photo.metadata.get("score"),
            "run": names["run"](photo.run),
            "split": names["split"](photo.split),
            "place": names["place"](quote(photo.place, errors="surrogateescape")),
        }
        for photo in runs.photos
    ]
    pictures = [_picture(picture, state, names) for picture, state in zip(runs.pictures, states, strict=True)]
    return {
        "title": title,
        "photosPerPart": PHOTOS_PER_PART,
        "folder": FOLDER,
        "names": {name: list(numbered.texts) for name, numbered in names.items()},
        "photos": _columns(photos),
        "pictures": _columns(pictures),
        "failures": [
            {"run": one.run, "row": one.row, "path": one.image_path, "cause": one.cause, "text": _joined(one.values)}
            for one in runs.failures
        ],
    }


def _picture(picture: Picture, state: int, names: Mapping[str, _Names]) -> dict[str, Any]:
    """One picture's part of the index."""
    light = picture.light
    main = light["sources"][0] if light["sources"] else {}
    environment = light["environment"]
    kinds = ["environment"] if environment else []
    kinds += [source["kind"] for source in light["sources"]]
    ambient = light["ambient"] if "ambient" in light else sum(light["irradiance"][0]) / 3
    return {
        "photo": picture.photo,
        "file": quote(picture.file.rpartition("/")[2], errors="surrogateescape"),
        "state": state,
        "light": picture.number,
        "instruction": light.get("instruction", ""),
        "pattern": names["pattern"](main.get("pattern", "none")),
        "setup": names["setup"](" + ".join(kinds) or "ambient"),
        "environment": names["environment"](environment["name"] if environment else ""),
        "azimuth": _short(main.get("azimuth")),
        "elevation": _short(main.get("elevation")),
        "intensity": _short(main.get("intensity")),
        "ambient": _short(ambient),
    }


def _details(photo: Photo) -> dict[str, Any]:
    """What the view of one photo needs beyond the index."""
    metadata = photo.metadata
    return {
        "files": {
            kind: [quote(name, errors="surrogateescape") for name in names] for kind, names in photo.files.items()
        },
        "dark": [kind for kind, values in metadata.get("values", {}).items() if f"{WHITE} is 1" in values],
        "lights": metadata["lights"],
        "numbers": {name: value for name, value in metadata.items() if name not in _NOT_SHOWN},
        "row": photo.values,
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _joined(values: Mapping[str, str]) -> str:
    return " ".join(values.values())


def _short(number: float | None) -> float | None:
    return None if number is None else round(number, 3)

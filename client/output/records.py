"""A record of a dataset: what there is to say of one picture, and every column of its row.

A record's fields have the same types in all records. Nothing in it is null and no list is empty, because readers such
as `datasets` learn the types from the first few records: what a picture has not is an empty text or 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from client.input.own_columns import added, own_width
from client.input.row import Row
from client.input.splits import ALL, SPLIT_COLUMN
from client.light.light import PLAIN_NAMES, SOURCE_NAMES
from client.output.plan import Plan, key_of
from contract.files import EXTENSIONS

# A type is one of these words, a list of one type, or names with their types.
Type = Any
_MAKERS: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: readable(str(value)),
    "float64": float,
    "int64": int,
    "bool": bool,
}
_NOTHING = {"string": "", "float64": 0.0, "int64": 0, "bool": False}

_SOURCE: Type = {"kind": "string", "azimuth": "float64", "elevation": "float64", "pattern": "string"}
LIGHT: Type = {
    "seed": "string",
    "space": "string",
    "environment": {"name": "string", "azimuth": "float64", "exposure": "float64", "split": "bool"},
    "sources": [_SOURCE | dict.fromkeys(SOURCE_NAMES, "float64")],
    "ambient": "float64",
    "irradiance": [["float64"]],
    **dict.fromkeys(PLAIN_NAMES, "float64"),
    "background": "string",
    "backdrop": "string",
}
FIELDS: dict[str, Type] = {
    "key": "string",
    SPLIT_COLUMN: "string",
    "instruction": "string",
    "instructions": ["string"],
    "prompt": "string",
    "score": "float64",
    "box": ["float64"],
    "count": "int64",
    "residual": "float64",
    "width": "int64",
    "height": "int64",
    "original": ["int64"],
    "crop": ["float64"],
    "seed": "int64",
    "light": LIGHT,
}
_NAMES_FILES = re.compile(r"(.*_)?file_names?")
_ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that were not UTF-8
IMAGE = "image"  # what `imagefolder` calls the field of `file_name`


class Records:
    """Makes the records of one table's rows.

    Attributes:
        names: of FIELDS in a record; one that a column of the table has already begins with relight_.
        pictures: of the plan's pictures, in the same way.
        columns: the table's own columns that a record has, by their names in it.
    """

    def __init__(self, plan: Plan, columns: Sequence[str]) -> None:
        """`columns` are the names in the table's header."""
        self.plan = plan
        own = unique_names(columns[: own_width(columns)])
        if plan.dataset == "folder":  # `imagefolder` opens what such a column names
            own = unique_names([f"{name}_text" if _NAMES_FILES.fullmatch(name) else name for name in own])
        self.columns = {name: place for place, name in enumerate(own) if name != SPLIT_COLUMN}
        self.names = dict(zip(FIELDS, added(list(self.columns), list(FIELDS)), strict=True))
        taken = [*self.columns, *self.names.values()]
        wanted = self._folder_names() if plan.dataset == "folder" else plan.pictures
        self.pictures = dict(zip(plan.pictures, added(taken, wanted), strict=True))

    def _folder_names(self) -> list[str]:
        """What `imagefolder` makes of the pictures: the first is its `image`, and it cannot open EXR files."""
        names = [name if self.is_image(name) else f"{name}_path" for name in self.plan.pictures]
        first = next((at for at, name in enumerate(self.plan.pictures) if self.is_image(name)), None)
        return [IMAGE if at == first else name for at, name in enumerate(names)]

    @property
    def types(self) -> dict[str, Type]:
        """The type of each field of a record but for its pictures, in order."""
        return {self.names[field]: kind for field, kind in FIELDS.items()} | dict.fromkeys(self.columns, "string")

    def is_image(self, picture: str) -> bool:
        """Whether the picture's files are what Pillow opens."""
        return self.plan.files.extension(picture) != EXTENSIONS["exr"]

    def of_row(self, row: Row, metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A row's records, one for each light; `metadata` is what its metadata.json holds."""
        width, height = metadata.get("width", 0), metadata.get("height", 0)
        shared = {
            "original": [width, height],
            "crop": [0, 0, width, height],
            SPLIT_COLUMN: row.split or ALL,
            **metadata,
        }
        own = {name: readable(row.values[place]) for name, place in self.columns.items()}
        records = []
        for k, light in enumerate(metadata["lights"]):
            fields = shared | {"key": key_of(row, k), "light": light}
            fields |= {name: light[name] for name in ("instruction", "instructions")}
            records.append({self.names[name]: typed(fields.get(name), kind) for name, kind in FIELDS.items()} | own)
        return records


def typed(value: Any, kind: Type) -> Any:
    """The value as one of this type; what is not there is an empty text or 0."""
    if isinstance(kind, dict):
        return {name: typed((value or {}).get(name), one) for name, one in kind.items()}
    if isinstance(kind, list):
        return [typed(one, kind[0]) for one in value or (None,)]
    return _NOTHING[kind] if value is None else _MAKERS[kind](value)


def unique_names(columns: Sequence[str]) -> list[str]:
    """The columns' names, readable and each of its own: `caption`, then `caption_2`; `column_3` where there is none."""
    names: list[str] = []
    for place, column in enumerate(columns, 1):
        name = first = readable(column.strip()) or f"column_{place}"
        again = 2
        while name in names:
            name, again = f"{first}_{again}", again + 1
        names.append(name)
    return names


def readable(text: str) -> str:
    """The text, its bytes that are not UTF-8 read as Latin-1."""
    return (
        text
        if text.isascii()
        else _ESCAPED.sub(lambda found: chr(ord(found[0]) - 0xDC00), text).encode("utf-8", "replace").decode()
    )

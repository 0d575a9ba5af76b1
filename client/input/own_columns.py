"""The columns that this client adds to a table's own, so that what it writes can be its input again."""

from __future__ import annotations

from collections.abc import Sequence

RESULT_COLUMNS = ("output_image_path", "error")  # of the output CSV, its last ones
FAILURE_COLUMNS = ("image_folder", "row", "cause")  # of failed.csv, its last ones
_PREFIX = "relight_"  # of those whose name the table has itself


def added(columns: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The names that the `wanted` columns get behind a table's own `columns`."""
    taken = {name.strip() for name in columns}
    names = []
    for name in wanted:
        while name in taken:
            name = _PREFIX + name
        names.append(name)
    return names


def own_width(columns: Sequence[str]) -> int:
    """How many of `columns`, from the first, are the table's own: all but those that an earlier run has added."""
    for wanted in (RESULT_COLUMNS, FAILURE_COLUMNS):
        width = len(columns) - len(wanted)
        if width > 0 and [name.strip() for name in columns[width:]] == added(columns[:width], wanted):
            return width
    return len(columns)


def folder_column(columns: Sequence[str]) -> int | None:
    """The position of `image_folder` in a failed.csv, where the relative paths of each row start."""
    width = own_width(columns)
    return width if len(columns) - width == len(FAILURE_COLUMNS) else None

"""The card of a dataset, README.md: what `datasets` must know to load it, what is in it, and how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.input.splits import ALL
from client.output.counts import Counts
from client.output.files import write_whole
from client.output.lines import NAME as LINES
from client.output.plan import PACKED
from client.output.records import Records, Type
from client.output.table import Totals

CARD = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_BAR = 30  # characters of the largest count
_SHOWN = 20  # values of a table
_LICENSE = """The licence is not known. It is up to the photos' owners: set `license` above once you know their terms,
and see to it that the people in them agree. The networks that ship with relight-triton (MediaPipe's and its own) are
under Apache-2.0, which asks nothing of what they make. Others, such as SAM3 or Marigold, have terms of their own."""


@dataclass(frozen=True)
class Making:
    """How a dataset was made."""

    command: str
    networks: Mapping[str, Any]  # by stage, as the server reports them
    has_splits: bool  # whether each split has a folder of its own


def write_card(folder: Path, records: Records, counts: Counts, totals: Totals, making: Making) -> None:
    """Write README.md. Its bytes depend on the records and how they were made alone. Raises OSError."""
    lines = ["---", *_head(records, counts, making), "---", "", f"# {folder.name}", ""]
    lines += [*_contents(records, counts, totals), "", "## How was it made?", "", "```", making.command, "```", ""]
    lines += _table(
        ("network", "weights", "sha256"),
        [
            (f"{stage}: {one.get('network', '')}", one.get("weights", ""), str(one.get("sha256", ""))[:16])
            for stage, one in sorted(making.networks.items())
            if isinstance(one, Mapping)
        ],
    )
    lines += ["", "## What are the lights like?"]
    for title, counter in counts.tables.items():
        if counter:
            lines += ["", f"### {title}", "", *_bars(counter)]
    lines += ["", "## Under which licence is it?", "", _LICENSE, ""]
    write_whole(folder / CARD, "\n".join(lines).encode())


def _head(records: Records, counts: Counts, making: Making) -> list[str]:
    """The YAML."""
    size = next((name for most, name in _SIZES if counts.pictures < most), "n>1M")
    lines = ["license: unknown", "task_categories:", "- image-to-image", "size_categories:", f"- {size}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in _splits(counts):
        paths = _paths(records, f"{split}/" if making.has_splits else "")
        lines += [f"  - split: {_quoted(split)}", "    path:", *(f"    - {_quoted(path)}" for path in paths)]
    return [*lines, "dataset_info:", "  features:", *(f"  {line}" for line in _features(_loaded(records)))]


def _splits(counts: Counts) -> list[str]:
    return sorted(counts.splits, key=lambda name: (name != ALL, name))


def _paths(records: Records, place: str) -> list[str]:
    """Patterns of the files of a split, whose folder is `place`, empty or ending in a slash."""
    plan = records.plan
    if plan.is_packed:
        return [f"{place}[0-9]*{PACKED[plan.dataset]}"]
    extensions = sorted({plan.files.extension(picture) for picture in plan.pictures if records.is_image(picture)})
    below = "*/" if plan.layout == "sharded" else ""
    return [f"{place}{LINES}", *(f"{place}{below}*.{extension}" for extension in extensions)]


def _loaded(records: Records) -> dict[str, Type]:
    """The fields that `datasets` gives, with their types."""
    plan = records.plan
    kinds = {picture: "image" if records.is_image(picture) else "binary" for picture in plan.pictures}
    if plan.dataset == "webdataset":
        files = {f"{picture}.{plan.files.extension(picture)}": kind for picture, kind in kinds.items()}
        return {**files, "json": records.types, "__key__": "string", "__url__": "string"}
    named = {
        picture: "string" if plan.dataset == "folder" and kind == "binary" else kind for picture, kind in kinds.items()
    }
    return {records.pictures[picture]: kind for picture, kind in named.items()} | records.types


def _features(types: Mapping[str, Type]) -> list[str]:
    """The features of `dataset_info` in YAML."""
    return [line for name, kind in types.items() for line in (f"- name: {_quoted(name)}", *_indented(_feature(kind)))]


def _feature(kind: Type, word: str = "dtype") -> list[str]:
    if isinstance(kind, dict):
        return [f"{'struct' if word == 'dtype' else word}:", *_features(kind)]
    if isinstance(kind, list):
        inner = _feature(kind[0], "list")
        return inner if word == "dtype" else [f"{word}:", *_indented(inner)]
    return [f"{word}: {kind}"]


def _quoted(text: str) -> str:
    """A text in YAML, whose readers refuse most characters that cannot be printed."""
    letters = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(letters)}"'


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _contents(records: Records, counts: Counts, totals: Totals) -> list[str]:
    plan = records.plan
    return [
        f"{counts.pictures:,} pictures of {totals.done:,} photos; rows that failed: {totals.failed:,}. Each record is",
        "one picture with all its files, its light, an instruction that says the light, and the columns of its row in",
        "the table. Files that a photo has once, such as its albedo, belong to each of its records.",
        "",
        *_table(("split", "pictures"), [(split, f"{counts.splits[split]:,}") for split in _splits(counts)]),
        "",
        *_table(("file", "values"), [(picture, values) for picture, values in plan.values().items()]),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def _bars(counter: Counter[str]) -> list[str]:
    """A table with a bar for each value: intervals in the order of their numbers, names by how many there are."""

    def order(item: tuple[str, int]) -> tuple[float, float, str]:
        number = item[0].split(" to ")[0] if " to " in item[0] else ""
        return (0, float(number), "") if number else (1, -item[1], item[0])

    most = max(counter.values())
    items = sorted(counter.items(), key=order)
    rows = [(value, f"{count:,}", "█" * max(1, round(_BAR * count / most))) for value, count in items[:_SHOWN]]
    if rest := sum(count for _, count in items[_SHOWN:]):
        rows.append((f"{len(items) - _SHOWN} others", f"{rest:,}", ""))
    return _table(("value", "pictures", ""), rows)

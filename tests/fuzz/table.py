"""Fuzzes the table: sound and damaged CSVs must give their rows or a sentence, and never fewer rows than there are.

How many rows there are is known of a table as it was written, and counted by lines where a table holds no quote.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import random
import re
import struct
import time

from tests.fuzz.mutations import delete, edit_header, flip_bits, overwrite, repeat, swap, truncate
from tests.fuzz.processes import outcomes
from tests.fuzz.report import Report

_BATCH = 200  # tables a process
_UNKNOWN = -1
_BOM = b"\xef\xbb\xbf"
_NAMES = ("image_path", "prompt", "seed", "light_azimuth", "pattern", "note", "error", "Größe", "a,b", "")
_CELLS = (
    "a.png",
    "photos/b c.jpg",
    "ü.webp",
    "7",
    "-3.5",
    "window",
    "x,y",
    'say "x"',
    "two\nlines",
    "",
    " ",
    "\t",
    "影.png",
)
_PIECES = (b'"', b'""', b",", b",,,", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b";", b"a" * 140_000, b"\n,\n", b'"\n"')


def fuzz(seed: int, seconds: float = math.inf, batches: float = math.inf) -> Report:
    """Write, damage and read tables for so many seconds or batches; the same seed makes the same tables."""
    rng, report = random.Random(seed), Report("tables")
    end = time.monotonic() + seconds
    done = 0
    while done < batches and time.monotonic() < end:
        tables = [make_table(rng) for _ in range(_BATCH)]
        packed = [struct.pack("<ii", *rows) + content for _, content, rows in tables]
        found = outcomes("tests.fuzz.table_process", packed, report)
        for (kind, content, _), outcome in zip(tables, found, strict=True):
            word, _, rest = outcome.partition(" ")
            report.outcomes[kind, word] += 1
            if word == "failed" or (kind == "sound" and word == "refused"):
                report.findings.append((f"{kind}: {word} {rest}", content))
        done += 1
    return report


def make_table(rng: random.Random) -> tuple[str, bytes, tuple[int, int]]:
    """Whether it is sound, its bytes, and how many rows it has at least and at most, _UNKNOWN where nobody can tell."""
    content, rows = write_table(rng)
    if rng.random() < 0.3:
        return "sound", pack(content, rng), (rows, rows)
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = damage(content, rng)
    packed = pack(content, rng)
    if rng.random() < 0.1:
        return "damaged", bytes(truncate(bytearray(packed), rng)), (_UNKNOWN, _UNKNOWN)
    return "damaged", packed, count_lines(content)


def write_table(rng: random.Random) -> tuple[bytes, int]:
    """A table by Python's csv module, and the number of its rows."""
    names = ["image_path", *rng.sample(_NAMES[1:], rng.randrange(len(_NAMES) - 1))]
    rng.shuffle(names)
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        lineterminator=rng.choice(("\n", "\r\n")),
        quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)),
    )
    writer.writerow(names)
    rows = rng.choice((0, 1, 3, 20, 300))
    for _ in range(rows):
        cells = [rng.choice(_CELLS) for _ in names]
        cells[names.index("image_path")] = f"{rng.randrange(1000)}.png"  # a row of blanks is a blank line
        writer.writerow(cells)
    return text.getvalue().encode() + rng.choice((b"", b"", b"\n", b"\r\n\r\n")), rows


def damage(content: bytes, rng: random.Random) -> bytes:
    """Damage a table's text in one way."""
    if rng.random() < 0.5:
        at = rng.randrange(len(content) + 1)
        return content[:at] + rng.choice(_PIECES) + content[at:]
    if rng.random() < 0.3:
        return content.replace(*rng.choice(((b'"', b""), (b",", b";"), (b"\n", b"\r"), (b",", b",,"))))
    way = rng.choice((flip_bits, edit_header, truncate, overwrite, delete, repeat, swap))
    return bytes(way(bytearray(content), rng))


def pack(content: bytes, rng: random.Random) -> bytes:
    """The text with a byte order mark at times, gzipped at times."""
    marked = _BOM + content if rng.random() < 0.2 else content
    return gzip.compress(marked, 1) if rng.random() < 0.2 else marked


def count_lines(content: bytes) -> tuple[int, int]:
    """How many lines but the header hold a value, and how many at least a comma; _UNKNOWN where there is a quote."""
    if b'"' in content or b"\0" in content:
        return _UNKNOWN, _UNKNOWN
    lines = [line for line in re.split(r"\r\n|\r|\n", content.decode("utf-8", "replace")) if line.strip()]
    with_values = [line for line in lines if line.replace(",", "").strip()]
    return max(0, len(with_values) - 1), max(0, len(lines) - 1)

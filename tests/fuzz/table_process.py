"""The process in which a fuzzer's tables are read: `python -m tests.fuzz.table_process FILE`, an outcome a line.

An input is the least and the greatest number of rows that the table has, -1 where nobody knows, and the table.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import sys
import tempfile
from pathlib import Path

from client.errors import TableError
from client.input.source import Source
from client.run_csv import BAD_USAGE, NO_SERVER, main
from tests.fuzz.processes import read_inputs

_NOBODY = "127.0.0.1:1"  # where no server listens
_COMMANDS = 8  # one table of so many is given to the command as well, which takes longer


def outcome(file: Path, least: int, most: int, *, command: bool) -> str:
    """`read N`, `refused SENTENCE` or `failed` with what must not have happened."""
    try:
        found = read(file)
        told = run(file, found) if command else ""
    except Exception as error:
        return f"failed with {type(error).__name__}: {str(error)!a}"
    if told:
        return f"failed with {told}"
    if isinstance(found, str):
        return f"refused {found!a}"
    if least >= 0 and not least <= found <= most:
        return f"failed with {found} rows of {least} to {most}"
    return f"read {found}"


def read(file: Path) -> int | str:
    """The number of rows, or why the table is refused."""
    try:
        source = Source(str(file))
        rows = list(source.rows())
    except TableError as error:
        return str(error)
    if [row.index for row in rows] != list(range(len(rows))) or source.count() != len(rows):
        raise AssertionError(f"{len(rows)} rows, then {source.count()}")
    if any(len(row.values) != len(source.columns) for row in rows):
        raise AssertionError("a row of another width than the header")
    return len(rows)


def run(file: Path, found: int | str) -> str:
    """What is wrong with the command's exit code or words for this table; empty where nothing is."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        arguments = ["--csv", str(file), "--output", str(file.parent / "out"), "--url", _NOBODY, "--dry-run", "--quiet"]
        code = main(arguments)
    words = said.getvalue()
    if "Traceback" in words:
        return f"a traceback: {words[-300:]!a}"
    if code != (BAD_USAGE if isinstance(found, str) else NO_SERVER):
        return f"exit code {code}, {words[-300:]!a}"
    total = re.search(r"^(\d+) rows: 0 can be sent to the networks, (\d+) would fail$", words, re.MULTILINE)
    if isinstance(found, int) and (total is None or not int(total[1]) == int(total[2]) == found):
        return f"{found} rows, but {words[-300:]!a}"
    return ""


def check_all(inputs: Path) -> None:
    """Print the outcome of every table in the file, in order."""
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(read_inputs(inputs)):
            file = Path(folder) / "table.csv"
            file.write_bytes(content[8:])
            print(outcome(file, *struct.unpack_from("<ii", content), command=not number % _COMMANDS), flush=True)


if __name__ == "__main__":
    check_all(Path(sys.argv[1]))

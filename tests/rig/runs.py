"""The command in the tests: how it is started, and what it leaves."""

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from PIL import Image

from client.run_csv import main
from tests.rig.places import ROOT, SAMPLES

RECORD = np.dtype([("number", "<u4"), ("rest", "V28")])  # of a journal


class Server(Protocol):
    """What the `server` fixture gives: addresses of a running Triton."""

    @property
    def grpc_url(self) -> str: ...


def relight(server: Server, table: Path | str, output: Path | str, *options: str | Path) -> int:
    """The command, in this process."""
    arguments = ["--csv", table, "--output", output, "--url", server.grpc_url, *options]
    return main([str(argument) for argument in arguments])


def started(
    url: str, table: Path, output: Path | str, *options: str, stderr: IO[str] | int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """The command as a script in a process of its own, started from a folder that is not ours; `url` may be empty."""
    files = ["--csv", str(table), "--output", str(output)]
    servers = ["--url", url] if url else []
    command = [sys.executable, str(ROOT / "client" / "run_csv.py"), *files, *servers, *options]
    return subprocess.Popen(command, cwd=table.parent, stderr=stderr, text=True)


@contextmanager
def running(url: str, table: Path, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command as `started` has it, dead at the end of the block; what it says is kept for `told`."""
    with output.with_suffix(".txt").open("w") as said:
        process = started(url, table, output, *options, stderr=said)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def metadata(folder: Path, index: int) -> dict[str, Any]:
    """The metadata of a row in a run's folder."""
    content: dict[str, Any] = json.loads((folder / f"{index:05d}_metadata.json").read_text())
    return content


def told(output: Path) -> str:
    """What the last `running` command into this folder has said."""
    return output.with_suffix(".txt").read_text()


def recorded(output: Path) -> list[int]:
    """The rows in the journals of a run's output, one entry for each record."""
    files = sorted(output.glob("*/journal/*.rows"))
    return [int(number) for file in files for number in np.fromfile(file, RECORD)["number"]]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Look again and again until `condition` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def lines(table: Path) -> list[dict[str, str]]:
    """A CSV's rows."""
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, strict=True))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its bytes, but for the journal's."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "journal")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def small_table(folder: Path, *names: str) -> Path:
    """A CSV of small photos in `folder`, in the order of `names`."""
    for name in names:
        left = 100 + ord(name[0]) % 16  # every name is a photo of its own
        photo = Image.open(SAMPLES / "astronaut.png").convert("RGB")
        photo.crop((left, 0, left + 256, 256)).save(folder / name)
    table = folder / "small.csv"
    table.write_text("".join(f"{name}\n" for name in ("image_path", *names)))
    return table

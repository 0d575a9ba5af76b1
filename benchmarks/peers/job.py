"""What every contestant is given, and what it is: photos with their lights in, files out; a way to run it."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.rig.lights import Row
from benchmarks.rig.places import CORES

IN_FLIGHT = 24  # requests that the other clients of a server keep: enough for any of them
BATCH = min(8, max(2, CORES))  # a row for each core, as on our server: it suits the others too
WAIT = 0.15  # seconds for a batch to fill


@dataclass(frozen=True)
class Job:
    """Relight `rows`, whose files lie in `photos`, and write <name>_<picture>.png of each into `output`."""

    photos: Path
    output: Path
    rows: tuple[Row, ...]

    def path(self, row: Row) -> Path:
        """A row's photo."""
        return self.photos / row.photo

    def picture(self, row: Row, name: str) -> Path:
        """A row's file of the picture `name`."""
        return self.output / f"{row.name}_{name}.png"

    def write(self, row: Row, files: Mapping[str, bytes]) -> None:
        """Write a row's files, by the names of their pictures."""
        for name, content in files.items():
            self.picture(row, name).write_bytes(content)

    def batches(self, size: int) -> list[Sequence[Row]]:
        """The rows, `size` at a time."""
        return [self.rows[first : first + size] for first in range(0, len(self.rows), size)]

    def to_json(self) -> str:
        """The job in one line."""
        return json.dumps({"photos": str(self.photos), "output": str(self.output), "rows": [*map(asdict, self.rows)]})


def job_from_json(text: str) -> Job:
    """The job that `to_json` wrote."""
    content = json.loads(text)
    rows = [
        Row(row["name"], row["photo"], {name: tuple(values) for name, values in row["light"].items()})
        for row in content["rows"]
    ]
    return Job(Path(content["photos"]), Path(content["output"]), tuple(rows))


@dataclass(frozen=True)
class Contestant:
    """One way of relighting a job's photos.

    Attributes:
        run: does the job; takes the address to send the photos to, which is empty where there is none.
        address: host:port of its server, None where everything happens in the process.
    """

    run: Callable[[Job, str], None]
    address: str | None = None


# Starts contestants that share their networks or their server, and stops them. May write into the folder given, which
# goes with the session; the folder around it lasts for all rounds.
Family = Callable[[Path], AbstractContextManager[Mapping[str, Contestant]]]

"""What every contestant is given: photos with their lights, and a folder for what it makes of them."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PICTURES = ("output", "albedo", "mask")  # what each writes of a photo, as PNG
PROMPT = "person"
THRESHOLDS = (0.5, 0.5)  # score, mask
IN_FLIGHT = 24  # requests that the other clients of a server keep: enough for any of them
BATCH = min(8, max(2, len(os.sched_getaffinity(0))))  # a row for each core, as on our server: it suits the others too
WAIT = 0.15  # seconds for a batch to fill


@dataclass(frozen=True)
class Row:
    """A photo and its light.

    Attributes:
        name: stem of its files, "00000".
        photo: the image file's name in the job's folder of photos.
        light: LIGHT of the ensemble, 16 numbers.
    """

    name: str
    photo: str
    light: tuple[float, ...]


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

    def batches(self, size: int) -> list[Sequence[Row]]:
        """The rows, `size` at a time."""
        return [self.rows[first : first + size] for first in range(0, len(self.rows), size)]

    def to_json(self) -> str:
        """The job in one line."""
        return json.dumps({"photos": str(self.photos), "output": str(self.output), "rows": [*map(asdict, self.rows)]})


def job_from_json(text: str) -> Job:
    """The job that `to_json` wrote."""
    content = json.loads(text)
    rows = tuple(Row(row["name"], row["photo"], tuple(row["light"])) for row in content["rows"])
    return Job(Path(content["photos"]), Path(content["output"]), rows)

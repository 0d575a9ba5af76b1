"""What a driver is asked to do with a table, and how fast it was by what it has written."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.rig.report import BenchmarkError


@dataclass(frozen=True)
class Job:
    """Relight a table by a client on each of `nodes`."""

    address: str  # of Ray
    nodes: int
    url: str  # of each node's server
    window: int | None  # calls in flight on each node; None for what its server wants
    rows: int
    folder: str  # has `table`, its photos and an empty `output`; the rest is the driver's

    @property
    def table(self) -> Path:
        """A CSV of image_path and seed, a number of the row's own."""
        return Path(self.folder) / "rows.csv"

    @property
    def output(self) -> Path:
        """Where the files go."""
        return Path(self.folder) / "out"

    @property
    def results(self) -> Path:
        """Parquet that engines of others write: the table's columns, and when each row was `sent` and `done`."""
        return Path(self.folder) / "results"

    @property
    def summary(self) -> Path:
        """What `run_csv --summary` writes."""
        return Path(self.folder) / "summary.json"

    @classmethod
    def parse(cls, text: str) -> "Job":
        """A job from a command line."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """It on a command line."""
        return json.dumps(asdict(self))

    def rate(self) -> float:
        """Photos/s from the first call to the last row's files.

        Raises BenchmarkError: a row is not there, or twice.
        """
        if self.summary.exists():
            return float(json.loads(self.summary.read_text("utf-8"))["images_per_second"])
        import pyarrow.parquet  # only here: ours does without

        found = pyarrow.parquet.read_table(self.results, columns=["seed", "sent", "done"]).to_pydict()
        files = sum(1 for _ in self.output.glob("*_output.png"))
        if sorted(found["seed"]) != list(range(self.rows)) or files != self.rows:
            raise BenchmarkError(f"of {self.rows} rows {files} have files, and the results have {len(found['seed'])}")
        return float(self.rows / (max(found["done"]) - min(found["sent"])))

"""What a run is: the input, what is asked of the server, what is kept, and which of these its files depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client.input.source import Shard, Source, open_source
from client.light.distributions import Lighting
from client.output.journal import DONE, FAILED
from client.output.plan import Plan
from client.triton.credentials import Header, read_tls
from client.triton.servers import GRACE_SECONDS, Servers


@dataclass(frozen=True)
class Connection:
    """The servers, and how to speak with them."""

    urls: tuple[str, ...]  # host:port
    tls: bool
    ca: Path | None
    cert: Path | None
    key: Path | None
    headers: tuple[Header, ...]
    timeout: float  # seconds per call
    wait: float  # seconds that a server gets to be ready

    def servers(self, say: Callable[[str], None]) -> Servers:
        """Channels to all of them. Made inside a running event loop."""
        return Servers(
            self.urls,
            timeout=self.timeout,
            patience=max(self.wait, GRACE_SECONDS),
            credentials=read_tls(self.ca, self.cert, self.key) if self.tls else None,
            headers=self.headers,
            say=say,
        )


@dataclass(frozen=True)
class Run:
    """What every row of a run shares."""

    input: str  # as written: a table, a folder, a glob, a URL or -
    limit: int | None
    id_column: str | None
    shard: Shard
    folder: Path  # of the files
    prompt: str
    thresholds: tuple[float, float]  # score, mask
    seed: int
    lighting: Lighting
    plan: Plan
    connection: Connection
    window: int | None  # calls in flight; None: what the server's configuration asks for
    retry_failed: bool
    max_failures: int | None

    def open(self) -> Source:
        """The input, from its start. Raises TableError."""
        return open_source(self.input, limit=self.limit, shard=self.shard, id_column=self.id_column)

    @property
    def kept(self) -> frozenset[int]:
        """The states in which a row of an earlier run stays as it is."""
        return frozenset({DONE} if self.retry_failed else {DONE, FAILED})

    @property
    def part(self) -> str:
        """What tells the tables of a shard from those of the others: `.2of8`, or nothing where there is one."""
        return f".{self.shard.number}of{self.shard.count}" if self.shard.count > 1 else ""

    @property
    def table(self) -> Path:
        """The output CSV."""
        return self.folder.with_name(f"{self.folder.name}{self.part}.csv")

    @property
    def failures(self) -> Path:
        """The list of failed rows."""
        return self.folder / f"failed{self.part}.csv"

    def settings(self, identity: str, model_versions: Mapping[str, str]) -> dict[str, Any]:
        """All that a row's files depend on, as JSON has it: runs into one folder must agree on it."""
        return {
            "input": identity,
            "id_column": self.id_column,
            "prompt": self.prompt,
            "score_threshold": self.thresholds[0],
            "mask_threshold": self.thresholds[1],
            "seed": self.seed,
            "lighting": _plain(self.lighting.settings()),
            "files": _plain(asdict(self.plan)),
            "models": dict(model_versions),
        }


def _plain(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value

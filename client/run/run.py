"""A run: its input, its requests, its output, and the settings that its files depend on."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from client.errors import TableError
from client.input.backgrounds import Backgrounds
from client.input.remote import is_remote
from client.input.row import WHOLE, Shard
from client.input.source import Source, stem_of
from client.input.splits import Splits
from client.light.distributions import Uniform
from client.light.environment import Environment
from client.light.instruction import Phrases
from client.light.lighting import Lighting
from client.output.folder import RunFolder
from client.output.journal import DONE, FAILED, VERSION
from client.output.plan import Plan, with_depth
from client.output.store.destination import Destination, working_folder
from client.run.cluster.where import Where
from client.triton.connection import Facts
from client.triton.credentials import Header, read_tls
from client.triton.request import URL
from client.triton.servers import GRACE_SECONDS, Servers
from contract.photos import PhotoRules


@dataclass(frozen=True)
class Access:
    """Where the servers are, and how to connect to them."""

    urls: tuple[str, ...]  # host:port
    tls: bool
    ca: Path | None
    cert: Path | None
    key: Path | None
    headers: tuple[Header, ...]
    timeout: float  # seconds per call
    wait: float  # seconds to wait for a ready server

    @asynccontextmanager
    async def ready(self, window: int | None, say: Callable[[str], None]) -> AsyncIterator[tuple[Servers, Facts]]:
        """Connect to the servers, at least one of them ready; give their Facts too. Raises UnreachableError."""
        servers = Servers(
            self.urls,
            timeout=self.timeout,
            grace=max(self.wait, GRACE_SECONDS),
            credentials=read_tls(self.ca, self.cert, self.key) if self.tls else None,
            headers=self.headers,
            say=say,
        )
        try:
            yield servers, await servers.find(self.wait, window)
        finally:
            await servers.close()


@dataclass(frozen=True)
class Run:
    """What every row of a run shares."""

    input: str  # as written: a table, a folder, a glob, a URL or -
    limit: int | None
    id_column: str | None
    shard: Shard
    output: Path  # the folder of the files; where they go into a store, of those that are not there yet
    prompt: str
    thresholds: tuple[float, float]  # score, mask
    seed: int
    lighting: Lighting
    environments: tuple[Environment, ...]  # none: the lighting file's own sources
    backgrounds: Backgrounds
    phrases: Phrases  # what instructions are made of
    plan: Plan
    splits: Splits
    duplicates: str  # what to do with rows whose photo an earlier row has, of POLICIES
    command: str  # the options that decide about the dataset, for its card
    access: Access
    window: int | None  # calls in flight; None for as many as fill the servers
    retry_failed: bool
    store: str = ""  # the URL of the files, if they go into a store

    def source(self) -> Source:
        """The input. Raises TableError."""
        return Source(self.input, limit=self.limit, shard=self.shard, id_column=self.id_column)

    def folder(self) -> RunFolder:
        """The folder of its files, tables and journals."""
        store = Destination(self.store, self.output, self.access.timeout) if self.store else None
        return RunFolder(self.output, self.shard, store)

    @property
    def most_sources(self) -> int:
        """L of every request, the most sources that a light can be drawn with: requests of one L share a batch."""
        return self.lighting.most_sources(environments=bool(self.environments))

    @property
    def kept(self) -> frozenset[int]:
        """The states of an earlier run in which a row is not done again."""
        return frozenset({DONE} if self.retry_failed else {DONE, FAILED})

    def settings(self, identity: str, model_versions: Mapping[str, str]) -> dict[str, Any]:
        """All that a row's files depend on, as JSON values; runs into one folder must agree on it."""
        return {
            "journal": VERSION,
            "input": identity,
            "id_column": self.id_column,
            "prompt": self.prompt,
            "score_threshold": self.thresholds[0],
            "mask_threshold": self.thresholds[1],
            "seed": self.seed,
            "lighting": _plain(self.lighting.settings()),
            "environments": {one.name: one.digest for one in self.environments},
            **self.backgrounds.settings(),
            "instructions": _digest(asdict(self.phrases)),
            "files": _plain(asdict(self.plan)),
            "split": dict(self.splits.shares),
            "group_column": self.splits.group,
            "models": dict(model_versions),
        }


def plan_run(options: argparse.Namespace) -> Run:
    """Make a run from the command line's options. Raises TableError if they contradict each other."""
    try:
        image_format = with_depth(options.format, options.depth)
    except ValueError as error:
        raise TableError(str(error)) from error
    plan = Plan(
        pictures=options.files,
        format=image_format,
        photo=PhotoRules(**{rule.name: getattr(options, rule.name) for rule in fields(PhotoRules)}),
        variants=options.variants,
        dataset=options.dataset,
        layout=options.layout,
        rows_per_tar=options.rows_per_tar,
    )
    if plan.dataset == "parquet":
        _find("pyarrow", "parquet", "--dataset parquet")
    if options.prune and (options.limit is not None or options.shard is not None):
        raise TableError("--prune looks at the whole table; leave out --limit and --shard")
    lighting = options.lighting
    if options.gray is not None:
        lighting = replace(lighting, drawn={**lighting.drawn, "gray": Uniform(options.gray, options.gray)})
    if options.environments and lighting.space != "linear":
        raise TableError('--environments needs linear light: set space = "linear" in the lighting file')
    shard = options.shard or WHOLE
    output, store = _places(options, plan, shard)
    run = Run(
        input=options.csv,
        limit=options.limit,
        id_column=options.id_column,
        shard=replace(shard, block=plan.rows_per_tar) if plan.is_packed else shard,
        output=output,
        prompt=options.prompt,
        thresholds=(options.score_threshold, options.mask_threshold),
        seed=options.seed,
        lighting=lighting,
        environments=options.environments,
        backgrounds=options.background,
        phrases=options.instructions,
        plan=plan,
        splits=Splits(options.split, options.group_column),
        duplicates=options.duplicates,
        command=options.command,
        access=_access(options),
        window=options.window,
        retry_failed=options.retry_failed,
        store=store,
    )
    folder = run.folder()
    if options.csv == folder.shown(folder.table) or Path(options.csv).resolve() == folder.table.resolve():
        raise TableError(f"{options.csv} is the input itself; choose another folder with --output")
    return run


def _places(options: argparse.Namespace, plan: Plan, shard: Shard) -> tuple[Path, str]:
    """The folder of the run on this machine, and the URL of its files or an empty text. Raises TableError."""
    stem, output = stem_of(options.csv), options.output
    if not is_remote(output):
        return Path(output) / stem, ""
    if output.lower().startswith(("http://", "https://")):
        raise TableError(f"nothing can be written to {output}; give a store, such as s3://bucket/folder, or a folder")
    if not plan.is_packed:
        raise TableError(
            f"--dataset {plan.dataset} is not written to {output}: choose webdataset or parquet, whose files are few "
            "and large, or mount the store and give the folder as --output"
        )
    store = f"{output.rstrip('/')}/{stem}"
    return working_folder(options.work, store, f"{shard.number}of{shard.count}") / stem, store


def cluster_of(options: argparse.Namespace) -> Where | None:
    """The cluster that the command line's options ask for, if any. Raises TableError if they contradict each other."""
    if options.ray is None:
        if options.server_options:
            raise TableError("--server-options is of servers that --ray starts; add --ray, or leave it out")
        return None
    _find("ray", "cluster", "--ray")
    if options.url and options.server_options:
        raise TableError("--server-options is of servers that --ray starts, and --url names running ones; give one")
    if not options.url and (options.tls or options.ca or options.cert or options.key):
        raise TableError("the servers that --ray starts serve their own node without TLS; name others with --url")
    return Where(options.ray, tuple(options.url or ()), tuple(options.server_options), options.processes)


def _find(package: str, extra: str, option: str) -> None:
    try:
        import_module(package)
    except ImportError as error:
        raise TableError(f"{option} needs the extra `{extra}`: pip install 'relight-triton[{extra}]'") from error


def _access(options: argparse.Namespace) -> Access:
    tls = options.tls or any((options.ca, options.cert, options.key))
    try:
        if tls:
            read_tls(options.ca, options.cert, options.key)
    except ValueError as error:
        raise TableError(str(error)) from error
    return Access(
        urls=tuple(options.url or [URL]),
        tls=tls,
        ca=options.ca,
        cert=options.cert,
        key=options.key,
        headers=tuple(options.header),
        timeout=options.timeout,
        wait=options.wait_for_server,
    )


def _digest(content: Any) -> str:
    return sha256(json.dumps(_plain(content), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Replace tuples by lists, as JSON does, and sets by sorted ones."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value

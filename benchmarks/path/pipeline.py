"""The whole path on one server: client and perf_analyzer in turn, and between them each stage's code alone."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from benchmarks import CORES
from benchmarks.rig.codecs import encode_pictures, read_photo
from benchmarks.rig.lights import Light, Row, Tensors, light_tensors
from benchmarks.rig.networks import PICTURES, Networks, constants, pictures, squash
from benchmarks.rig.perf_analyzer import analyzer_command, environment, find_perf_analyzer
from benchmarks.rig.photos import write_table
from benchmarks.rig.processes import Steady, client_command, observe, watch
from benchmarks.rig.report import Figure
from benchmarks.rig.triton import FILES, ask_for, compare, read_statistics, write_input_data
from benchmarks.rig.wire import counted
from contract.names import NETWORKS
from server.derive import this_machine
from server.embedded import RunningServer


@dataclass(frozen=True)
class Stage:
    """One stage, ready to do its batch again and again."""

    name: str
    photos: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """Seconds per photo."""

    cpu: float  # of all threads
    wall: float


def prepare_stages(photos: Sequence[bytes], lights: Sequence[Light], files: str) -> list[Stage]:
    """All stages from decode to encode, each with what the one before it makes of the batch.

    `photos` are the files of one batch, of one size in pixels, each with its light; `files` is FILES.
    """
    count, networks, pool = len(photos), Networks(threads=1), ThreadPoolExecutor(CORES)
    decoded = decode(photos)
    known: Tensors = {
        **constants(count),
        **light_tensors([[light] for light in lights]),
        **{name: np.concatenate([one[name] for one in decoded]) for name in decoded[0]},
    }
    stages = [Stage("decode", count, partial(decode, photos))]
    for network in NETWORKS:
        run = partial(infer, networks, network, dict(known), pool)
        known.update(run())
        stages.append(Stage(network, count, run))
    encode(known, files)  # as the networks above, it is slower the first time
    return [*stages, Stage("encode", count, partial(encode, known, files))]


def measure(stage: Stage) -> Cost:
    """One batch through one stage."""
    wall, cpu = time.perf_counter(), time.process_time()
    stage.run()
    return Cost((time.process_time() - cpu) / stage.photos, (time.perf_counter() - wall) / stage.photos)


def decode(photos: Sequence[bytes]) -> list[Tensors]:
    """What decode makes of each photo, less the tokens."""
    return [squash([read_photo(photo)]) for photo in photos]


def infer(networks: Networks, network: str, known: Tensors, pool: ThreadPoolExecutor) -> Tensors:
    """A network's answer to a batch, row by row on the pool, as our backend does it on a CPU."""

    def run(row: int) -> Tensors:
        return networks.run(network, {name: one[row : row + 1] for name, one in known.items()})

    rows = list(pool.map(run, range(len(known["ORIGINAL"]))))
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def encode(known: Tensors, files: str) -> list[bytes]:
    """The files of all photos."""
    made: list[bytes] = []
    for row in zip(*pictures(known), strict=True):
        made += encode_pictures(dict(zip(PICTURES, row, strict=True)), files).values()
    return made


@dataclass(frozen=True)
class Round:
    """What one round found."""

    client: Steady
    analyzer: Steady
    alone: Mapping[str, Cost]  # each stage's cost without a server, by name
    filled: Mapping[str, float]  # mean ÷ largest batch of each network in all of the client's run


def measure_rounds(
    server: RunningServer, photos: Path, rows: Sequence[Row], window: int, rounds: int, say: Callable[[str], None]
) -> list[Round]:
    """Drive a server with all `rows`, whose files lie in `photos`, `window` at a time.

    Raises BenchmarkError: a run fails, or a photo does; there is no perf_analyzer.
    """
    files = [(photos / row.photo).read_bytes() for row in rows]
    batch = this_machine(gpus=0).cpu_batch
    stages = prepare_stages(files[:batch], [row.light for row in rows[:batch]], FILES)
    table = table_of(photos, rows)
    binary = find_perf_analyzer()
    found = []
    with tempfile.TemporaryDirectory() as name, triton.InferenceServerClient(server.grpc_url) as asker:
        largest = {one: int(asker.get_model_config(one).config.max_batch_size) for one in NETWORKS}
        requests = [ask_for(file, [row.light]) for file, row in zip(files, rows, strict=True)]
        data = write_input_data(Path(name) / "requests.json", requests)
        amount = ("--async", "--request-count", str(len(rows)))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}: run_csv, perf_analyzer, each stage alone")
            before = read_statistics(asker, NETWORKS)
            ours = client_command(server.grpc_url, table, Path(name) / str(number), "--window", str(window))
            client = watch(ours, server, len(rows), window)
            batches = compare(before, read_statistics(asker, NETWORKS))
            theirs = analyzer_command(binary, server.grpc_url, data, window, *amount)
            analyzer = watch(theirs, server, len(rows), window, environment(binary))
            alone = {stage.name: measure(stage) for stage in stages}
            filled = {one: batches[one].mean_batch / largest[one] for one in NETWORKS}
            found.append(Round(client, analyzer, alone, filled))
    return found


def measure_wire(server: RunningServer, photos: Path, rows: Sequence[Row], output: Path) -> tuple[float, Path]:
    """Bytes of a run's connections, both ways, ÷ the bytes of the photos and of their pictures; and where these are.

    All rows are in flight at once. Raises RunFailedError: the client fails, or a photo does.
    """
    table = table_of(photos, rows)
    with counted(server.grpc_url) as wire:
        observe(client_command(wire.address, table, output, "--window", str(len(rows))), lambda client: None, 1.0)
    pictures = output / table.stem
    files = [*(photos / row.photo for row in rows), *pictures.glob("*.png")]
    return wire.bytes / sum(file.stat().st_size for file in files), pictures


def table_of(photos: Path, rows: Sequence[Row]) -> Path:
    """A CSV beside the photos that names them."""
    return write_table(photos / f"rows{len(rows)}.csv", [row.photo for row in rows], len(rows))


def figures(rounds: Sequence[Round], client_alone: float) -> list[Figure]:
    """Medians of the rounds; `client_alone` is the client's CPU-seconds per photo against a server that does nothing.

    Where all stages share the cores, no run can be as fast as the slowest stage alone: the ideal is what the cores
    could do if a photo cost no more than the sum of its stages.
    """

    def each(values: Callable[[Round], Mapping[str, float]]) -> dict[str, float]:
        tables = [values(one) for one in rounds]
        return {name: statistics.median(table[name] for table in tables) for name in tables[0]}

    def median(value: Callable[[Round], float]) -> float:
        return statistics.median(map(value, rounds))

    alone = each(lambda one: {name: cost.cpu for name, cost in one.alone.items()})
    wall = each(lambda one: {name: cost.wall for name, cost in one.alone.items()})
    spent = each(lambda one: {role: seconds / one.client.photos for role, seconds in one.client.cpu.items()})
    filled = each(lambda one: one.filled)
    alone["client"] = client_alone
    ideals = {role: f"{alone.get(role, 0.0) * 1000:.1f} alone" for role in spent}
    slowest = max(wall, key=lambda name: wall[name])
    total = sum(alone.values())
    best, rate = CORES / total, median(lambda one: one.client.images_per_second)
    path = median(lambda one: one.client.cpu_per_photo)
    others = median(lambda one: one.client.others / one.client.seconds) / CORES
    pace = median(lambda one: one.client.images_per_second / one.analyzer.images_per_second)
    shared = f"{best * wall[slowest]:.2f} on shared cores, 1.00 on devices of their own"
    return [
        Figure("run_csv through the embedded server", rate, "images/s", f"{best:.2f} on {CORES} cores"),
        Figure(f"images/s ÷ the slowest stage alone ({slowest})", rate * wall[slowest], "ratio", shared),
        Figure("cores kept busy by the run", median(lambda one: one.client.busy), "share", "at least 0.90"),
        Figure("cores that other programs took meanwhile", others, "share", "0.00"),
        *(Figure(f"CPU of {role}, a photo", cpu * 1000, "CPU-ms", ideals[role]) for role, cpu in spent.items()),
        Figure("CPU of the whole path, a photo", path * 1000, "CPU-ms", f"{total * 1000:.1f} alone"),
        Figure("CPU of the whole path ÷ its stages alone", path / total, "ratio", "at most 1.15"),
        *(Figure(f"mean batch ÷ largest, {name}", filled[name], "ratio", "at least 0.95") for name in NETWORKS),
        Figure("images/s, run_csv ÷ perf_analyzer", pace, "ratio", "at least 0.95"),
    ]

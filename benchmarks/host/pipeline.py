"""The whole path on one server: client and perf_analyzer in turn, and between them each stage's code alone."""

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from benchmarks.host.load import Steady, analyzer_command, client_command, run_to_end, watch
from benchmarks.host.stages import NETWORKS, Cost, measure, prepare_stages
from benchmarks.peers.job import PICTURES, PROMPT, THRESHOLDS, Row
from benchmarks.peers.wire import counted
from benchmarks.perf_analyzer import environment, find_perf_analyzer
from benchmarks.report import Figure
from benchmarks.sweep.photo_tensors import Tensors, write_input_data
from benchmarks.sweep.stages import compare, read_statistics
from server.derive import this_machine
from server.embedded import RunningServer

FILES = f"{','.join(PICTURES)};png"  # the client's own default


@dataclass(frozen=True)
class Round:
    """What one round found.

    Attributes:
        client, analyzer: the two loads.
        alone: each stage's cost without a server, by name.
        filled: mean batch ÷ largest batch of each network while the client ran, filling and emptying too.
    """

    client: Steady
    analyzer: Steady
    alone: Mapping[str, Cost]
    filled: Mapping[str, float]


def measure_rounds(
    server: RunningServer, photos: Path, rows: Sequence[Row], window: int, rounds: int, say: Callable[[str], None]
) -> list[Round]:
    """Drive a server with all `rows`, whose files lie in `photos`, `window` at a time.

    Raises:
        RunFailedError: a run fails, or a photo does.
        PerfAnalyzerError: there is no perf_analyzer.
    """
    batch = rows[: this_machine(gpus=0).cpu_batch]
    lights = np.array([[row.light] for row in batch], np.float32)
    stages = prepare_stages([(photos / row.photo).read_bytes() for row in batch], lights, FILES)
    table = write_table(photos, rows)
    binary = find_perf_analyzer()
    found = []
    with tempfile.TemporaryDirectory() as name, triton.InferenceServerClient(server.grpc_url) as asker:
        largest = {one: int(asker.get_model_config(one).config.max_batch_size) for one in NETWORKS}
        requests = Path(name) / "requests.json"
        write_input_data(requests, [request(photos, row) for row in rows])
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}: run_csv, perf_analyzer, each stage alone")
            before = read_statistics(asker, NETWORKS)
            ours = client_command(server.grpc_url, table, Path(name) / str(number), window)
            client = watch(ours, server, len(rows), window)
            batches = compare(before, read_statistics(asker, NETWORKS))
            theirs = analyzer_command(binary, server.grpc_url, requests, len(rows), window)
            analyzer = watch(theirs, server, len(rows), window, environment(binary))
            alone = {stage.name: measure(stage) for stage in stages}
            filled = {one: batches[one].mean_batch / largest[one] for one in NETWORKS}
            found.append(Round(client, analyzer, alone, filled))
    return found


def measure_wire(
    server: RunningServer, photos: Path, rows: Sequence[Row], window: int, output: Path
) -> tuple[float, Path]:
    """Bytes of a run's connections, both ways, ÷ the bytes of the photos and of their pictures; and where these are.

    Raises:
        RunFailedError: the client fails, or a photo does.
    """
    table = write_table(photos, rows)
    with counted(server.grpc_url) as wire:
        run_to_end(client_command(wire.address, table, output, window))
    pictures = output / table.stem
    files = [*(photos / row.photo for row in rows), *pictures.glob("*.png")]
    return wire.bytes / sum(file.stat().st_size for file in files), pictures


def write_table(photos: Path, rows: Sequence[Row]) -> Path:
    """A CSV beside the photos that names them."""
    table = photos / f"rows{len(rows)}.csv"
    table.write_text("\n".join(("image_path", *(row.photo for row in rows))) + "\n")
    return table


def request(photos: Path, row: Row) -> Tensors:
    """What the client asks of the ensemble for a row."""
    return {
        "IMAGE": np.array([[(photos / row.photo).read_bytes()]], object),
        "PROMPT": np.array([[PROMPT.encode()]], object),
        "THRESHOLDS": np.array([THRESHOLDS], np.float32),
        "LIGHT": np.array([[row.light]], np.float32),
        "FILES": np.array([[FILES.encode()]], object),
    }


def figures(rounds: Sequence[Round], client_alone: float) -> list[Figure]:
    """Medians of the rounds; `client_alone` is the client's CPU-seconds per photo against a server that does nothing.

    Where all stages share the cores, no run can be as fast as the slowest stage alone: the ideal is what the cores
    could do if a photo cost no more than the sum of its stages.
    """
    cores = len(os.sched_getaffinity(0))
    alone = {"client": client_alone}
    alone.update({name: statistics.median(one.alone[name].cpu for one in rounds) for name in rounds[0].alone})
    wall = {name: statistics.median(one.alone[name].wall for one in rounds) for name in rounds[0].alone}
    slowest = max(wall, key=lambda name: wall[name])
    best, total = cores / sum(alone.values()), sum(alone.values())
    rate = statistics.median(one.client.images_per_second for one in rounds)
    path = statistics.median(one.client.cpu_per_photo for one in rounds)
    roles = {
        role: statistics.median(one.client.cpu[role] / one.client.photos for one in rounds)
        for role in rounds[0].client.cpu
    }
    paces = [one.client.images_per_second / one.analyzer.images_per_second for one in rounds]
    busy = statistics.median(one.client.busy for one in rounds)
    others = statistics.median(one.client.others / one.client.seconds for one in rounds) / cores
    filled = {name: statistics.median(one.filled[name] for one in rounds) for name in NETWORKS}
    shared = f"{best * wall[slowest]:.2f} on shared cores, 1.00 on devices of their own"
    return [
        Figure("run_csv through the embedded server", rate, "images/s", f"{best:.2f} on {cores} cores"),
        Figure(f"images/s ÷ the slowest stage alone ({slowest})", rate * wall[slowest], "ratio", shared),
        Figure("cores kept busy by the run", busy, "share", "at least 0.90"),
        Figure("cores that other programs took meanwhile", others, "share", "0.00"),
        *(
            Figure(f"CPU of {role}, a photo", seconds * 1000, "CPU-ms", f"{alone.get(role, 0.0) * 1000:.1f} alone")
            for role, seconds in roles.items()
        ),
        Figure("CPU of the whole path, a photo", path * 1000, "CPU-ms", f"{total * 1000:.1f} alone"),
        Figure("CPU of the whole path ÷ its stages alone", path / total, "ratio", "at most 1.15"),
        *(Figure(f"mean batch ÷ largest, {name}", filled[name], "ratio", "at least 0.95") for name in NETWORKS),
        Figure("images/s, run_csv ÷ perf_analyzer", statistics.median(paces), "ratio", "at least 0.95"),
    ]

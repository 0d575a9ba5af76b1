"""The whole service on one GPU: the embedded server and the client, against the service's networks alone."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from tritonclient.grpc import InferenceServerClient

from benchmarks.gpu.measure import Send, Setting
from benchmarks.gpu.plan import SERVED, VARIANTS, built
from benchmarks.gpu.results import Results, Service
from benchmarks.gpu.session import Keep, left, measure_all, run_isolated
from benchmarks.rig import triton
from benchmarks.rig.photos import write_photos, write_table
from benchmarks.rig.processes import RunFailedError, client_command, observe
from benchmarks.rig.report import BenchmarkError
from contract.versions import REPORT
from export.exporter import Castable
from export.files import torchscript_file
from export.files.repository import lay_out
from export.networks.hub.sam3 import write_tokenizer
from export.networks.recombine import Recombine
from export.tensors import read_contract
from server.derive import this_machine
from server.embedded import RunningServer
from server.installation import ServerError

STAGES = {"segment": "sam3", "albedo": "marigold-tiny-vae", "shadow": "depth-anything"}
DIFFERENT = 32  # photos; further rows name them again
BATCH = 16  # the largest of the hand-written configs
# Tensors of a batch of 16 are 49 MB for SAM3 alone; Triton's own pools would send them by way of the host.
POOLS = ("--cuda-memory-pool-byte-size=0:2147483648", "--pinned-memory-pool-byte-size=2147483648")


def measure_service(setting: Setting, photos: int, deadline: float, results: Results, keep: Keep) -> Results:
    """Measure the served networks alone, then all of them behind Triton, for a table of so many `photos`.

    The rest is as in measure_all; only the served batch size is measured.

    Raises BenchmarkError: a network alone, a file, the server or the client fails; the message says which and why.
    """
    batch = setting.batches[0] if setting.tiny else BATCH
    plan = [(name, VARIANTS[SERVED]) for name in STAGES.values()]
    results = measure_all(replace(setting, batches=(batch,)), plan, deadline, results, keep)
    alone = {}
    for name in STAGES.values():
        ms = results.ms(name, SERVED, batch)
        if ms is None:
            raise BenchmarkError(f"{name} alone: {results.at(name, SERVED)[batch].finding}.")
        alone[name] = ms
        built(name, setting.tiny)  # for the process that writes it
    repository, log = setting.folder / "models", setting.log("repository")
    sent, fault = run_isolated(setting, partial(write_repository, setting, repository), left(deadline), log)
    if "recombine" not in sent:
        raise BenchmarkError(f"The networks could not be written ({fault}); {log} holds what was said.")
    folder = setting.folder / "photos"
    folder.mkdir()
    rows = write_photos(folder, min(photos, DIFFERENT))
    table = write_table(folder / "photos.csv", [row.photo for row in rows], photos)
    machine = this_machine(gpus=0 if setting.tiny else 1)
    arguments = (triton.METRICS_ARGUMENT, *(() if setting.tiny else POOLS))
    log, timeout = setting.log("triton"), left(deadline)
    try:
        with triton.serving(repository, machine, log=log, extra=arguments, start_timeout=timeout) as server:
            results = replace(results, service=serve(setting, server, table, photos, alone, deadline))
    except ServerError as error:
        raise BenchmarkError(f"The service does not start: {error}") from error
    keep(results)
    return results


def write_repository(setting: Setting, folder: Path, send: Send) -> None:
    """Write every stage's TorchScript file in half precision, the tokenizer and the configs; send each stage's name.

    `python -m export` compares each file with its network before it keeps it, which takes minutes at full size: here
    `python -m benchmarks gpu` has compared the same variant of the same networks. Runs in a process of its own, whose
    end gives the GPU back.
    """
    lay_out(folder)
    networks = {stage: built(name, setting.tiny) for stage, name in STAGES.items()}
    write_tokenizer(None, folder / "decode" / "1")
    for stage, network in {**networks, "recombine": Recombine().eval()}.items():
        network.to(setting.device)
        if isinstance(network, Castable):
            network.cast_weights(torch.float16)
        version = folder / stage / "1"
        torchscript_file.write(network, read_contract(stage), version)
        # The report by which the server knows the file's format.
        (version / REPORT).write_text(
            json.dumps({"network": stage, "weights": "random", "format": "torchscript"}), "utf-8"
        )
        send(stage)


def serve(
    setting: Setting, server: RunningServer, table: Path, photos: int, alone: Mapping[str, float], deadline: float
) -> Service:
    """Run the client twice, the first time to warm up with a few photos, and read what Triton says of the second.

    Raises BenchmarkError: the client fails, or is not done in time.
    """
    run_client(server, table, setting.folder / "warm-up", deadline, "--limit", str(min(photos, 2 * BATCH)))
    with InferenceServerClient(server.grpc_url) as client:
        before = triton.read_statistics(client, list(STAGES))
        summary, use = run_client(server, table, setting.folder / "answers", deadline)
        stages = triton.compare(before, triton.read_statistics(client, list(STAGES)))
    return Service(
        photos=int(summary["done_in_this_run"]),
        seconds=float(summary["seconds"]),
        mean_batch={name: stages[stage].mean_batch for stage, name in STAGES.items()},
        alone_ms=alone,
        memory_mb=use.memory_mb if use else None,
        utilisation=use.utilisation if use else None,
    )


def run_client(
    server: RunningServer, table: Path, output: Path, deadline: float, *options: str
) -> tuple[Mapping[str, float], triton.GpuUse | None]:
    """Send a table through the ensemble; what `--summary` says, and the GPU's use meanwhile. Raises BenchmarkError."""
    summary, samples = output.with_suffix(".json"), list[triton.Gpus]()
    # Random networks are sure of nothing: at a score of 0 no photo is refused because no person was found.
    options = ("--summary", str(summary), "--score-threshold", "0", *options)

    def look(client: int) -> None:
        samples.append(triton.read_gpus(server.metrics_url))

    try:
        command = client_command(server.grpc_url, table, output, *options)
        observe(command, look, triton.METRICS_SECONDS, timeout=left(deadline))
    except RunFailedError as error:
        if error.ended:
            raise
        raise BenchmarkError("The client was not done in time: give --minutes more, or --photos fewer.") from error
    return json.loads(summary.read_text("utf-8")), triton.summarise(samples)

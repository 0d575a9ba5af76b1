"""The whole service on one GPU: the embedded server and the client, against the service's networks alone."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import InferenceServerClient

from benchmarks.gpu.measure import NO_TIME, Send, Setting
from benchmarks.gpu.plan import MPS, SERVED, TRIALS, VARIANTS
from benchmarks.gpu.results import Results, Service
from benchmarks.gpu.session import Keep, left, run_isolated, safe_batches
from benchmarks.rig import triton
from benchmarks.rig.photos import write_photos, write_table
from benchmarks.rig.processes import RunFailedError, client_command, observe
from benchmarks.rig.report import BenchmarkError
from contract.names import ENSEMBLE
from contract.versions import REPORT
from export.files import aoti_file, torchscript_file
from export.files.repository import lay_out
from export.networks.hub.sam3 import write_tokenizer
from export.networks.recombine import Recombine
from export.tensors import read_contract
from server.derive import read_config, this_machine
from server.embedded import RunningServer
from server.installation import ServerError

DIFFERENT = 32  # photos; further rows name them again
LEAST_SECONDS = 15.0  # that must be left for a further run
RECOMBINE_SECONDS = 120.0
MPS_SECONDS = 20.0  # for its control program to answer
FORMATS = {torchscript_file.MODEL: "torchscript", aoti_file.MODEL: "aoti"}
# Tensors of a batch of 16 are 49 MB for SAM3 alone; Triton's own pools would send them by way of the host.
POOLS = ("--cuda-memory-pool-byte-size=0:2147483648", "--pinned-memory-pool-byte-size=2147483648")
TURN = "turn"  # the resource that a network holds while it computes, if Triton's rate limiter is on


@dataclass(frozen=True)
class Load:
    """What the service is asked to do, and in which ways it is started."""

    photos: int
    trials: Sequence[str]  # of TRIALS
    windows: Sequence[int]  # calls in flight, a run for each; 0 for the client's choice
    arguments: Sequence[str] = ()  # further arguments of tritonserver, in every trial
    among: Sequence[str] = ()  # the variants of which the fastest is served; none for all


@dataclass(frozen=True)
class Stand:
    """What all runs have in common."""

    setting: Setting
    load: Load
    deadline: float  # on the monotonic clock
    repository: Path
    table: Path
    variants: Mapping[str, str]  # by network, the one that is served
    largest: Mapping[str, int]  # by network, photos per execution at most
    alone_ms: Mapping[str, float]  # by network, in that variant at that batch size


def measure_service(setting: Setting, load: Load, deadline: float, results: Results, keep: Keep) -> Results:
    """Serve the files that were measured and kept, and run the client for each trial and window.

    A trial that cannot be run, or has no time left, is told and left out.

    Raises BenchmarkError: a network has no file, they do not fit together, or the first trial fails.
    """
    variants = {name: results.to_serve(name, load.among) for name in SERVED.values()}
    largest = safe_batches(results, load.among)
    for name, variant in variants.items():
        if not variant or not setting.kept(name, variant).is_dir():
            raise BenchmarkError(
                f"{name} has no file that the gate keeps: measure the networks first, --parts networks."
            )
    if not largest:
        raise BenchmarkError("The networks do not fit this GPU together, not even at the smallest batch measured.")
    alone = {name: results.ms(name, variant, largest[name]) or 0.0 for name, variant in variants.items()}
    repository, table = setting.folder / "models", setting.folder / "photos.csv"
    write_repository(setting, repository, variants, largest)
    rows = write_photos(setting.folder, min(load.photos, DIFFERENT))
    write_table(table, [row.photo for row in rows], load.photos)
    stand = Stand(setting, load, deadline, repository, table, variants, largest, alone)
    results = replace(results, services=())
    for trial in load.trials:
        try:
            with multi_process_service() if trial == MPS else nullcontext():
                for service in run_trial(stand, trial):
                    results = replace(results, services=(*results.services, service))
                    keep(results)
        except (BenchmarkError, ServerError) as error:
            if not results.services:
                raise BenchmarkError(f"The service does not run: {error}") from error
            print(f"service, {trial}: {error}", flush=True)
    return results


def write_repository(
    setting: Setting, repository: Path, variants: Mapping[str, str], largest: Mapping[str, int]
) -> None:
    """Lay out a repository of the kept files, with configs for the `largest` batches. Raises BenchmarkError."""
    lay_out(repository)
    write_tokenizer(None, repository / "decode" / "1")
    for stage, name in SERVED.items():
        form = VARIANTS[variants[name]].form
        if form is not None:
            os.link(setting.kept(name, variants[name]) / form.model, repository / stage / "1" / form.model)
            report(repository / stage / "1", FORMATS[form.model])
    work, log = partial(write_recombine, setting, repository / "recombine" / "1"), setting.log("recombine")
    sent, fault = run_isolated(setting, work, RECOMBINE_SECONDS, log)
    if not sent:
        raise BenchmarkError(f"recombine could not be written ({fault}); {log} holds what was said.")
    for stage in (*SERVED, "recombine", ENSEMBLE):
        file = repository / stage / "config.pbtxt"
        config = read_config(file)
        if stage == ENSEMBLE:
            config.max_batch_size = min(config.max_batch_size, *largest.values())
        elif stage in SERVED:
            config.max_batch_size = largest[SERVED[stage]]
            for warm_up in config.model_warmup:
                warm_up.batch_size = config.max_batch_size if warm_up.batch_size > 1 else 1
        for group in config.instance_group:
            group.rate_limiter.resources.add(name=TURN, count=1)
        file.write_text(text_format.MessageToString(config), "utf-8")


def write_recombine(setting: Setting, version: Path, send: Send) -> None:
    """Write recombine's TorchScript file, and send that it is there."""
    torchscript_file.write(Recombine().eval().to(setting.device), read_contract("recombine"), version)
    report(version, "torchscript")
    send(True)


def report(version: Path, file_format: str) -> None:
    """Write the report by which the server knows a file's format."""
    text = {"network": version.parent.name, "weights": "random", "format": file_format}
    (version / REPORT).write_text(json.dumps(text), "utf-8")


@contextmanager
def multi_process_service() -> Iterator[None]:
    """NVIDIA's MPS, which lets kernels of several processes run at a time. Raises BenchmarkError: it does not start."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        raise BenchmarkError("not measured: there is no nvidia-cuda-mps-control here.")
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        os.environ.update(CUDA_MPS_PIPE_DIRECTORY=folder, CUDA_MPS_LOG_DIRECTORY=folder)
        try:
            if subprocess.run([control, "-d"], timeout=MPS_SECONDS).returncode:
                raise BenchmarkError("not measured: nvidia-cuda-mps-control does not start.")
            yield
        finally:
            with suppress(subprocess.SubprocessError):
                subprocess.run([control], input=b"quit\n", timeout=MPS_SECONDS)
            for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
                os.environ.pop(name)
            os.environ.update(before)


def run_trial(stand: Stand, trial: str) -> Iterator[Service]:
    """Start a server in one way and measure a run for each window. Raises BenchmarkError, ServerError."""
    setting, load = stand.setting, stand.load
    machine = this_machine(gpus=0 if setting.tiny else 1)
    if setting.tiny:  # on a CPU the configs' batches are not taken
        machine = replace(machine, max_batch=max(stand.largest.values()))
    arguments = (triton.METRICS_ARGUMENT, *TRIALS[trial], *load.arguments, *(() if setting.tiny else POOLS))
    log, seconds = setting.log("triton", trial), left(stand.deadline)
    if seconds < LEAST_SECONDS:
        raise BenchmarkError(NO_TIME)
    with triton.serving(stand.repository, machine, log=log, extra=arguments, start_timeout=seconds) as server:
        few = min(load.photos, 2 * max(stand.largest.values()))
        run_client(server, stand, setting.folder / "warm-up", "--limit", str(few))
        for window in load.windows:
            if left(stand.deadline) < LEAST_SECONDS:
                raise BenchmarkError(f"window {window}: {NO_TIME}")
            service = measure_run(server, stand, trial, window)
            told = f"{service.images_per_second:.2f} photos/s"
            print(f"service, {trial}, window {window or 'of the client'}: {told}", flush=True)
            yield service


def measure_run(server: RunningServer, stand: Stand, trial: str, window: int) -> Service:
    """Run the client once and read what Triton says of it. Raises BenchmarkError: it fails, or is not done in time."""
    output = Path(tempfile.mkdtemp(dir=stand.setting.folder))
    limit = ("--window", str(window)) if window else ()
    with InferenceServerClient(server.grpc_url) as client:
        before = triton.read_statistics(client, list(SERVED))
        summary, use = run_client(server, stand, output / "answers", *limit)
        stages = triton.compare(before, triton.read_statistics(client, list(SERVED)))
    shutil.rmtree(output)
    return Service(
        trial=trial,
        window=window or None,
        photos=int(summary["done_in_this_run"]),
        seconds=float(summary["seconds"]),
        forms=stand.variants,
        largest=stand.largest,
        mean_batch={name: stages[stage].mean_batch for stage, name in SERVED.items()},
        alone_ms=stand.alone_ms,
        memory_mb=use.memory_mb if use else None,
        utilisation=use.utilisation if use else None,
    )


def run_client(
    server: RunningServer, stand: Stand, output: Path, *options: str
) -> tuple[Mapping[str, float], triton.GpuUse | None]:
    """Send the table through the ensemble; what `--summary` says, and the GPU's use. Raises BenchmarkError."""
    summary, samples = output.with_suffix(".json"), list[triton.Gpus]()
    # Random networks are sure of nothing: at a score of 0 no photo is refused because no person was found.
    options = ("--summary", str(summary), "--score-threshold", "0", *options)

    def look(client: int) -> None:
        samples.append(triton.read_gpus(server.metrics_url))

    try:
        command = client_command(server.grpc_url, stand.table, output, *options)
        observe(command, look, triton.METRICS_SECONDS, timeout=max(0.0, left(stand.deadline)))
    except RunFailedError as error:
        if error.ended:
            raise
        raise BenchmarkError("The client was not done in time: give --minutes more, or --photos fewer.") from error
    return json.loads(summary.read_text("utf-8")), triton.summarise(samples)

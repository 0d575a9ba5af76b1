"""Runs tritonserver as a child process for as long as a `with` block lasts."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.decoding import VARIABLE, forget_processes
from contract.names import ENSEMBLE
from server.access import OPEN, Access, check_tls
from server.command import tritonserver_command
from server.derive import Machine, write_derived
from server.http_api import NotListeningError, RefusedError
from server.installation import ServerError, assemble_backends, environment, find_installation
from server.probe import answers_inference
from server.startup_errors import explain
from server.watch import LAST_ANSWERS_SECONDS, STOP_SECONDS, Watch, start, stop, undisturbed

SHARED_MEMORY = Path("/dev/shm")
START_TIMEOUT = 900.0  # seconds until the first inference: on a CPU full-size networks take minutes


@dataclass(frozen=True)
class Options:
    """What to serve and where. A port of 0 means any free one."""

    repository: Path
    machine: Machine
    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    log: Path | None = None  # None: a new file among the temporary files
    start_timeout: float = START_TIMEOUT  # seconds until the first inference
    access: Access = OPEN
    extra: tuple[str, ...] = ()  # further tritonserver arguments
    notes: Path | None = None  # the folder of contract.decoding; None: nobody starts it again, so nothing is noted


@dataclass(frozen=True)
class RunningServer:
    """A server's addresses, its log and its processes."""

    grpc_url: str
    http_url: str
    metrics_url: str
    repository: Path
    log: Path
    log_start: int  # where this server's lines begin
    process: "subprocess.Popen[bytes]"
    watch: Watch


@contextmanager
def embedded_server(options: Options) -> Iterator[RunningServer]:
    """Start tritonserver, wait until the ensemble answers a real inference, and stop it when the block ends.

    Raises ServerError: a TLS file cannot be used, a port is taken, a model fails to load, or the first inference fails;
    the message says why.
    """
    with starting_server(options) as server:
        wait_until_it_answers(server, options.access, options.start_timeout)
        yield server


@contextmanager
def starting_server(options: Options) -> Iterator[RunningServer]:
    """Start tritonserver, without waiting for it, and stop it when the block ends. Raises ServerError."""
    if not options.repository.is_dir():
        raise ServerError(f"There is no model repository at {options.repository}.")
    if not (options.repository / ENSEMBLE / "config.pbtxt").exists():
        raise ServerError(f"{options.repository} holds no ensemble `{ENSEMBLE}`: write it with `python -m export`.")
    check_tls(options.access)
    installation = find_installation()
    sweep_leftovers()
    http_host = options.access.clear_text_host(options.host)
    wanted = (options.grpc_port, options.http_port, options.metrics_port)
    ports = claim_ports(options.host, *wanted, clear_text_host=http_host)
    config_name = write_derived(options.repository, options.machine)
    log = open_log(options.log)
    with tempfile.TemporaryDirectory(prefix=f"relight-triton-{os.getpid()}-") as scratch:
        backends = Path(scratch) / "backends"
        assemble_backends(installation, backends)
        prefix = f"relight_{os.getpid()}_{ports[0]}_"
        command = tritonserver_command(
            installation.binary,
            options.repository.resolve(),
            config_name=config_name,
            backends=backends,
            memory_prefix=prefix,
            hosts=(options.host, http_host, http_host),
            ports=ports,
            drain_seconds=10,
            access=options.access,
        )
        noted = {VARIABLE: str(options.notes)} if options.notes else {}
        log_start = log.stat().st_size
        process = start([*command, *options.extra], {**environment(installation), **noted}, log)
        watch = Watch(process, options.notes)
        try:
            urls = (f"{options.host}:{ports[0]}", f"{http_host}:{ports[1]}", f"{http_host}:{ports[2]}")
            yield RunningServer(*urls, options.repository, log, log_start, process, watch)
        finally:
            with undisturbed():
                stop(process, LAST_ANSWERS_SECONDS if watch.died else STOP_SECONDS)
                remove_shared_memory(prefix)
                if options.notes:
                    forget_processes(options.notes)


def wait_until_it_answers(server: RunningServer, access: Access, timeout: float) -> None:
    """Poll until the ensemble answers an inference.

    Raises ServerError: the process ended, the inference failed, or nothing answered within `timeout` seconds.
    """
    deadline, place = time.monotonic() + timeout, f"Triton's log: {server.log}"
    while (left := deadline - time.monotonic()) > 0.0:
        if server.process.poll() is not None:
            raise ServerError(f"{explain(server.log, server.log_start)}\n{place}")
        if died := server.watch.look():
            raise ServerError(died)
        try:
            if answers_inference(server.http_url, left, access.probe_headers):
                return
        except NotListeningError:
            pass  # it has ended since it was ready
        except RefusedError as error:
            if time.monotonic() < deadline:
                raise ServerError(f"The first inference failed: {error}\n{place}") from error
        time.sleep(0.1)
    raise ServerError(f"The server did not answer within {timeout:g} s; --start-timeout gives it longer. {place}")


def claim_ports(host: str, *wanted: int, clear_text_host: str | None = None) -> tuple[int, int, int]:
    """Check that each port is free, of gRPC, HTTP and metrics; 0 is replaced by a free one.

    HTTP and metrics are to listen on `clear_text_host` where it is given. The check is needed because tritonserver
    shares its ports: of two servers on one port, either answers.

    Raises ServerError: naming the port that is taken.
    """
    ports = []
    with ExitStack() as claimed:
        for at, port in zip((host, *([clear_text_host or host] * 2)), wanted, strict=True):
            try:
                listening = claimed.enter_context(socket.create_server((at, port)))
            except OSError as error:
                reason = str(error.strerror).partition(" (while")[0]
                raise ServerError(
                    f"Port {port} on {at} cannot be used ({reason}): "
                    "stop what listens there or choose another with --grpc-port, --http-port or --metrics-port."
                ) from error
            ports.append(listening.getsockname()[1])
    return ports[0], ports[1], ports[2]


def open_log(wanted: Path | None) -> Path:
    """Create the log file `wanted`, or a temporary one, which stays after the server. Raises ServerError."""
    if wanted is None:
        handle, name = tempfile.mkstemp(prefix="relight-triton-", suffix=".log")
        os.close(handle)
        return Path(name)
    try:
        wanted.touch()
    except OSError as error:
        reason = f"The log {wanted} cannot be written ({error.strerror})"
        raise ServerError(f"{reason}; choose another with --log.") from error
    return wanted


def remove_shared_memory(prefix: str) -> None:
    """Remove the Python backend's regions that carry our prefix."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def sweep_leftovers() -> None:
    """Remove what was left by servers whose whole process group was killed."""
    for region in SHARED_MEMORY.glob("relight_*_*_*"):
        if has_ended(region.name.split("_")[1]):
            region.unlink(missing_ok=True)
    for scratch in Path(tempfile.gettempdir()).glob("relight-triton-*-*/"):
        if has_ended(scratch.name.split("-")[2]):
            shutil.rmtree(scratch, ignore_errors=True)


def has_ended(pid: str) -> bool:
    """Whether `pid` is the id of a process that no longer runs."""
    return pid.isdigit() and not Path("/proc", pid).exists()

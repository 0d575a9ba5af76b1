"""Runs tritonserver as a child process for as long as a `with` block lasts."""

import errno
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contract.decoding import VARIABLE, forget_processes
from contract.names import ENSEMBLE, NETWORKS
from contract.versions import newest_version
from server.access import HOSTS, OPEN, Access, check_tls, find_address, url
from server.command import tritonserver_command
from server.derive import Machine, write_derived
from server.http_api import NotListeningError, RefusedError
from server.installation import (
    SHARED_MEMORY,
    ServerError,
    assemble_backends,
    environment,
    find_installation,
    plain_path,
    scratch_parent,
    temporary_folders,
)
from server.probe import answers_inference
from server.startup_errors import cure, explain, failed_models, read_log
from server.watch import LAST_ANSWERS_SECONDS, STOP_SECONDS, Watch, start, stop, undisturbed

START_TIMEOUT = 900.0  # seconds until the first inference: on a CPU full-size networks take minutes
KEPT_LOGS = 10  # of ended servers, among the temporary files
UNLOAD_SECONDS = 10.0  # that Triton gets for the other models' errors after the first


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
    log_start: int  # bytes of the log that were there before it
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
    models = [options.repository / network for network in NETWORKS]
    if missing := [model.name for model in models if model.is_dir() and newest_version(model) is None]:
        raise ServerError(
            f"{options.repository} has no network yet for {', '.join(missing)}: write them with `python -m export`."
        )
    check_tls(options.access)
    installation = find_installation()
    sweep_leftovers()
    host = find_address(options.host)
    http_host = options.access.clear_text_host(host)
    hosts = (host, http_host, http_host)
    wanted = (options.grpc_port, options.http_port, options.metrics_port)
    ports = claim_ports(host, *wanted, clear_text_host=http_host)
    config_name = write_derived(options.repository, options.machine)
    log = open_log(options.log)
    log_start = log.stat().st_size
    with tempfile.TemporaryDirectory(prefix=f"relight-triton-{os.getpid()}-", dir=scratch_parent()) as scratch:
        backends = Path(scratch) / "backends"
        assemble_backends(installation, backends)
        prefix = f"relight_{os.getpid()}_{ports[0]}_"
        command = tritonserver_command(
            installation.binary,
            plain_path(options.repository, Path(scratch)),
            config_name=config_name,
            backends=backends,
            memory_prefix=prefix,
            hosts=hosts,
            ports=ports,
            drain_seconds=10,
            access=options.access,
        )
        noted = {VARIABLE: str(options.notes)} if options.notes else {}
        # AOTInductor unpacks its packages into the temporary folder.
        variables = {**environment(installation), "TMPDIR": scratch, **noted}
        process = start([*command, *options.extra], variables, log)
        watch = Watch(process, options.notes)
        try:
            grpc, http, metrics = (url(at, port) for at, port in zip(hosts, ports, strict=True))
            yield RunningServer(grpc, http, metrics, options.repository, log, log_start, process, watch)
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
    failed = 0.0
    while (left := deadline - time.monotonic()) > 0.0:
        ended = server.process.poll() is not None
        text = read_log(server.log, server.log_start)
        if failed_models(text):  # it will not start, and unloads the others: that can take long
            failed = failed or time.monotonic()
        if ended or (failed and time.monotonic() - failed > UNLOAD_SECONDS):
            raise ServerError(f"{explain(text, server.repository, server.process.poll())}\n{place}")
        if died := server.watch.look():
            raise ServerError(died)
        try:
            if answers_inference(server.http_url, left, access.probe_headers):
                return
        except NotListeningError:
            pass  # it has ended since it was ready
        except RefusedError as error:
            if time.monotonic() < deadline:
                raise ServerError(f"The first inference failed: {cure(str(error))}\n{place}") from error
        time.sleep(0.1)
    raise ServerError(f"The server did not answer within {timeout:g} s; --start-timeout gives it longer. {place}")


def claim_ports(host: str, *wanted: int, clear_text_host: str | None = None) -> tuple[int, int, int]:
    """Check that each port is free, of gRPC, HTTP and metrics; 0 is replaced by a free one.

    HTTP and metrics are to listen on `clear_text_host` where it is given; both are addresses. The check is needed
    because tritonserver shares its ports: of two servers on one port, either answers.

    Raises ServerError: naming the port that is taken, or the address that is another machine's.
    """
    ports = []
    with ExitStack() as claimed:
        for at, port in zip((host, *([clear_text_host or host] * 2)), wanted, strict=True):
            family = socket.AF_INET6 if ":" in at else socket.AF_INET
            try:
                listening = claimed.enter_context(socket.create_server((at, port), family=family))
            except OSError as error:
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise ServerError(f"{at} is no address of this machine: {HOSTS}.") from error
                reason = str(error.strerror).partition(" (while")[0]
                raise ServerError(
                    f"Port {port} on {at} cannot be used ({reason}): "
                    "stop what listens there or choose another with --grpc-port, --http-port or --metrics-port."
                ) from error
            ports.append(listening.getsockname()[1])
    return ports[0], ports[1], ports[2]


def open_log(wanted: Path | None) -> Path:
    """Create the log file `wanted`, or a temporary one, which stays after the server. Raises ServerError."""
    try:
        if wanted is None:
            handle, name = tempfile.mkstemp(prefix=f"relight-triton-{os.getpid()}-", suffix=".log")
            os.close(handle)
            return Path(name)
        with wanted.open("ab"):
            return wanted
    except OSError as error:
        reason = f"The log {wanted or 'of Triton'} cannot be written ({error.strerror})"
        raise ServerError(f"{reason}; choose another with --log.") from error


def remove_shared_memory(prefix: str) -> None:
    """Remove the Python backend's regions that carry our prefix."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def sweep_leftovers() -> None:
    """Remove what was left by servers whose whole process group was killed, and all but the newest logs of ended ones.

    What belongs to another user stays.
    """
    for region in SHARED_MEMORY.glob("relight_*_*_*"):
        if has_ended(region.name.split("_")[1]):
            with suppress(OSError):
                region.unlink()
    logs: list[Path] = []
    for folder in temporary_folders():
        for left in folder.glob("relight-triton-*-*"):
            if has_ended(left.name.split("-")[2]):
                logs += [left] if left.suffix == ".log" else []
                shutil.rmtree(left, ignore_errors=True)  # no log is a folder
    logs.sort(key=lambda log: log.stat().st_mtime if log.exists() else 0.0, reverse=True)
    for log in logs[KEPT_LOGS:]:
        with suppress(OSError):
            log.unlink()


def has_ended(pid: str) -> bool:
    """Whether `pid` is the id of a process that no longer runs."""
    return pid.isdigit() and not Path("/proc", pid).exists()

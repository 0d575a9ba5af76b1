"""Runs tritonserver as a child process for as long as a `with` block lasts, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.access import OPEN, Access, access_flags, check_tls
from server.derive import Machine, write_derived
from server.http_api import NotListeningError, RefusedError
from server.installation import Installation, ServerError, assemble_backends, environment, find_installation
from server.probe import answers_inference
from server.startup_errors import explain

CHILD = Path(__file__).with_name("child.py")
SHARED_MEMORY = Path("/dev/shm")
START_TIMEOUT = 900.0  # seconds until the first inference: on a CPU full-size networks load and answer in minutes
STOP_TIMEOUT = 20.0  # seconds for an orderly shutdown before the processes are killed


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


@dataclass(frozen=True)
class RunningServer:
    """A server that has answered an inference."""

    grpc_url: str
    http_url: str
    metrics_url: str
    repository: Path
    log: Path
    process: "subprocess.Popen[bytes]"


@contextmanager
def embedded_server(options: Options) -> Iterator[RunningServer]:
    """Start tritonserver, wait until the ensemble answers a real inference, and stop it when the block ends.

    Raises:
        ServerError: a TLS file cannot be used, a port is taken, a model fails to load, or the first inference fails;
            the message says why.
    """
    if not options.repository.is_dir():
        raise ServerError(f"There is no model repository at {options.repository}.")
    if not (options.repository / "relight" / "config.pbtxt").exists():
        raise ServerError(f"{options.repository} holds no ensemble `relight`: write it with `python -m export`.")
    check_tls(options.access)
    clear_text_host = options.access.clear_text_host(options.host)
    installation = find_installation()
    sweep_leftovers()
    wanted = (options.grpc_port, options.http_port, options.metrics_port)
    ports = claim_ports(options.host, *wanted, clear_text_host=clear_text_host)
    config_name = write_derived(options.repository, options.machine)
    log = open_log(options.log)
    with tempfile.TemporaryDirectory(prefix=f"relight-triton-{os.getpid()}-") as scratch:
        # Triton wants a version folder for the ensemble too, and git does not keep empty ones.
        (options.repository / "relight" / "1").mkdir(exist_ok=True)
        assemble_backends(installation, Path(scratch) / "backends")
        prefix = f"relight_{os.getpid()}_{ports[0]}_"
        command = tritonserver_command(installation, options, ports, config_name, Path(scratch) / "backends", prefix)
        process = start(command, environment(installation), log)
        try:
            grpc_url = f"{options.host}:{ports[0]}"
            http_url, metrics_url = (f"{clear_text_host}:{port}" for port in ports[1:])
            wait_until_it_answers(process, http_url, options.access, log, options.start_timeout)
            yield RunningServer(grpc_url, http_url, metrics_url, options.repository, log, process)
        finally:
            with undisturbed():
                stop(process)
                remove_shared_memory(prefix)


def tritonserver_command(
    installation: Installation,
    options: Options,
    ports: tuple[int, int, int],
    config_name: str,
    backends: Path,
    prefix: str,
) -> list[str]:
    """Build tritonserver's command line."""
    clear_text_host = options.access.clear_text_host(options.host)
    return [
        str(installation.binary),
        f"--model-repository={options.repository.resolve()}",
        f"--model-config-name={config_name}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        f"--grpc-address={options.host}",
        f"--grpc-port={ports[0]}",
        f"--http-address={clear_text_host}",
        f"--http-port={ports[1]}",
        f"--metrics-address={clear_text_host}",
        f"--metrics-port={ports[2]}",
        "--exit-timeout-secs=10",
        *access_flags(options.access, options.host),
        *options.extra,
    ]


def start(command: list[str], env: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a command that dies with us, in a session of its own so that a terminal's Ctrl-C reaches only us."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, str(CHILD), str(os.getpid()), *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM inside the block: an impatient second one must not cut the tidying up short."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Shut the server down; kill what is left of its process group if it does not go."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    # After a crash of the server its Python processes are orphans, but still of its group.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until_it_answers(
    process: "subprocess.Popen[bytes]", http_url: str, access: Access, log: Path, timeout: float
) -> None:
    """Poll until the ensemble answers an inference.

    Raises:
        ServerError: the process ended, the inference failed, or nothing answered within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0.0:
        if process.poll() is not None:
            raise ServerError(f"{explain(log)}\nTriton's log: {log}")
        try:
            if answers_inference(http_url, left, access.probe_headers):
                return
        except NotListeningError:
            pass  # it has ended since it was ready
        except RefusedError as error:
            if time.monotonic() < deadline:
                raise ServerError(f"The first inference failed: {error}\nTriton's log: {log}") from error
        time.sleep(0.1)
    raise ServerError(
        f"The server did not answer within {timeout:g} s; --start-timeout gives it longer. Triton's log: {log}"
    )


def claim_ports(host: str, *wanted: int, clear_text_host: str | None = None) -> tuple[int, int, int]:
    """Check that each port is free, of gRPC, HTTP and metrics; 0 is replaced by a free one.

    HTTP and metrics are to listen on `clear_text_host` where it is given.
    Two servers on one port would silently answer for each other, because tritonserver shares its ports.

    Raises:
        ServerError: naming the port that is taken.
    """
    sockets, ports = [], []
    try:
        hosts = (host, *([clear_text_host or host] * 2))
        for at, port in zip(hosts, wanted, strict=True):
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sockets.append(probe)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((at, port))
                probe.listen()  # SO_REUSEADDR would let one port be claimed twice as long as nobody listens
            except OSError as error:
                raise ServerError(
                    f"Port {port} on {at} cannot be used ({error.strerror}): "
                    "stop what listens there or choose another with --grpc-port, --http-port or --metrics-port."
                ) from error
            ports.append(probe.getsockname()[1])
    finally:
        for probe in sockets:
            probe.close()
    return ports[0], ports[1], ports[2]


def open_log(wanted: Path | None) -> Path:
    """Create the log file `wanted`, or one among the temporary files that outlives the server.

    Raises:
        ServerError: it cannot be written.
    """
    if wanted is None:
        handle, name = tempfile.mkstemp(prefix="relight-triton-", suffix=".log")
        os.close(handle)
        return Path(name)
    try:
        wanted.touch()
    except OSError as error:
        raise ServerError(
            f"The log {wanted} cannot be written ({error.strerror}); choose another with --log."
        ) from error
    return wanted


def remove_shared_memory(prefix: str) -> None:
    """Remove the Python backend's regions that carry our prefix."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def sweep_leftovers() -> None:
    """Remove what servers left whose whole process group was killed: nobody else can."""
    for region in SHARED_MEMORY.glob("relight_*_*_*"):
        if has_ended(region.name.split("_")[1]):
            region.unlink(missing_ok=True)
    for scratch in Path(tempfile.gettempdir()).glob("relight-triton-*-*/"):
        if has_ended(scratch.name.split("-")[2]):
            shutil.rmtree(scratch, ignore_errors=True)


def has_ended(pid: str) -> bool:
    """Return whether `pid` is the number of no running process."""
    return pid.isdigit() and not Path("/proc", pid).exists()

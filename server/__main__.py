"""`python -m server`: serve a model repository with the embedded Triton until Ctrl-C or SIGTERM."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from server.access import API_KEY, GRPC_PREFIX, Access, is_loopback, read_key
from server.derive import this_machine
from server.embedded import START_TIMEOUT, Options, embedded_server
from server.gpus import Selection, parse_selection
from server.installation import ServerError
from server.trace import trace_flags

HOUSE = Path(__file__).resolve().parent.parent / "model_repository"
MODEL_CONTROL = ("--model-control-mode=explicit", "--load-model=*")
ACCESS_FILES = (
    ("--tls-cert", "certificate (PEM) of gRPC; HTTP and metrics, which Triton cannot encrypt, stay on 127.0.0.1"),
    ("--tls-key", "private key of --tls-cert"),
    ("--tls-ca", "certificates that vouch for clients: only those with one signed by them are served"),
    ("--api-key-file", "a key that each inference must carry"),
    (
        "--admin-key-file",
        "a key for model control, shared memory, logging and tracing; without one these are open on a "
        "loopback address and closed to all on any other",
    ),
)


def parse_arguments() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m server", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--repository", type=Path, default=HOUSE, help="model repository to serve")
    parser.add_argument("--gpus", type=gpus, default="0", metavar="N", help="a number, or a list such as 0,2,5")
    parser.add_argument(
        "--max-batch", type=positive, metavar="N", help="largest batch of every model (default: what suits the device)"
    )
    parser.add_argument(
        "--instances", type=positive, metavar="N", help="of each network on each GPU (default: as config.pbtxt has it)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 opens it to the network")
    for service, number in (("grpc", 8001), ("http", 8000), ("metrics", 8002)):
        parser.add_argument(f"--{service}-port", type=port, default=number, metavar="P", help="0: any free one")
    parser.add_argument("--log", type=Path, default=None, help="Triton's log file (default: a temporary file)")
    parser.add_argument(
        "--start-timeout",
        type=float,
        default=START_TIMEOUT,
        metavar="SECONDS",
        help="until the networks are loaded and have answered once",
    )
    parser.add_argument("--model-control", action="store_true", help="let `python -m server.upgrade` exchange networks")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="for traces, once asked for: see `server.trace -h`")
    access = parser.add_argument_group("who may use it")
    for flag, text in ACCESS_FILES:
        access.add_argument(flag, type=Path, metavar="FILE", help=text, default=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.start_timeout > 0.0:
        parser.error(f"--start-timeout is a number of seconds, not {arguments.start_timeout:g}")
    os.environ.update(arguments.gpus.environment)
    machine = this_machine(arguments.gpus.count)
    return Options(
        repository=arguments.repository,
        machine=replace(machine, max_batch=arguments.max_batch, instances=arguments.instances),
        host=arguments.host,
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
        log=arguments.log,
        start_timeout=arguments.start_timeout,
        access=read_access(vars(arguments)),
        extra=(
            *(MODEL_CONTROL if arguments.model_control else ()),
            *(trace_flags(arguments.trace) if arguments.trace else ()),
        ),
    )


def read_access(given: Mapping[str, Any]) -> Access:
    """What clients must show, from the command line's values by name. Raises ServerError."""
    return Access(
        tls_cert=given.get("tls_cert"),
        tls_key=given.get("tls_key"),
        tls_ca=given.get("tls_ca"),
        api_key=read_key("--api-key-file", given.get("api_key_file")),
        admin_key=read_key("--admin-key-file", given.get("admin_key_file")),
    )


def describe_access(options: Options) -> str:
    """What clients have to give, and whether strangers can come in: lines, each with its end."""
    access = options.access
    needs = ["--tls"] if access.tls_cert else []
    needs += ["--cert and --key"] if access.tls_ca else []
    needs += [f"--header {GRPC_PREFIX}{API_KEY}:KEY"] if access.api_key else []
    lines = [f"Clients give {', '.join(needs)}."] if needs else []
    if not is_loopback(options.host) and not (access.tls_cert and access.api_key):
        lines += ["Others can reach this server: --tls-cert, --tls-key and --api-key-file close it to strangers."]
    return "".join(f"{line}\n" for line in lines)


def cause(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        return f"{name}: killed, perhaps for want of memory"
    return f"{name}: this version of Triton can crash when clients cancel calls; start it again"


def port(text: str) -> int:
    """Parse a port number, 0–65535."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def gpus(text: str) -> Selection:
    """Parse a selection of GPUs."""
    try:
        return parse_selection(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive(text: str) -> int:
    """Parse a number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def wait_for(process: "subprocess.Popen[bytes]") -> int:
    """Wait until a process ends; return its exit code.

    In short turns: Python sees a signal between two of them even if it came just before a call that blocks, or to
    another of our threads.
    """
    while True:
        try:
            return process.wait(1.0)
        except subprocess.TimeoutExpired:
            continue


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into the exception that Ctrl-C raises, so that both take the same way out."""
    raise KeyboardInterrupt


def main() -> int:
    """Serve; return 0 after a stop on request, 1 when the server cannot start or ends by itself."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        options = parse_arguments()
        with embedded_server(options) as server:
            print(f"Triton serves {server.repository}: gRPC {server.grpc_url} · HTTP {server.http_url} ", end="")
            print(f"· metrics {server.metrics_url}/metrics\nLog: {server.log}")
            print(f"{describe_access(options)}Ctrl-C stops it.", flush=True)
            code = wait_for(server.process)
            print(f"Triton ended by itself ({cause(code)}). Log: {server.log}", file=sys.stderr)
            return 1
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m server`: serve a model repository with the embedded Triton until Ctrl-C or SIGTERM."""

import argparse
import os
import signal
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from contract.command import run
from server.access import API_KEY, GRPC_PREFIX, Access, is_loopback, read_key
from server.command import MODEL_CONTROL
from server.derive import positive, this_machine
from server.embedded import START_TIMEOUT, Options, embedded_server
from server.gpus import parse_selection
from server.installation import ServerError
from server.trace import trace_flags
from server.watch import Death, answered, keep_serving

REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
DESCRIPTION = """Serve a model repository with the embedded Triton until Ctrl-C or SIGTERM.

example: python -m server --gpus 2 --grpc-port 9001"""
ACCESS_FILES = (
    ("--tls-cert", "encrypt gRPC with this certificate (PEM); HTTP and metrics stay on 127.0.0.1, in the clear"),
    ("--tls-key", "use this private key of --tls-cert (PEM)"),
    ("--tls-ca", "serve only clients with a certificate that one of these authorities (PEM) has signed"),
    ("--api-key-file", "ask each inference for the key in this file"),
    (
        "--admin-key-file",
        "ask for the key in this file for model control, shared memory, logging and tracing (default: they are open on "
        "a loopback address and closed on any other)",
    ),
)


def parse_arguments() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m server", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--repository", type=Path, default=REPOSITORY, metavar="DIR", help="serve this one (default: %(default)s)")
    option("--gpus", type=parse_selection, default="0", metavar="N", help="use so many, or a list: 0,2,5 (default: 0)")
    option("--max-batch", type=positive, metavar="N", help="limit every batch (default: what suits the device)")
    option("--instances", type=positive, metavar="N", help="load each network so often on a GPU (default: its config)")
    option("--no-turns", action="store_true", help="let segment and albedo work on a GPU at once, each more slowly")
    option("--memory", type=positive, metavar="GB", help="use so much of the machine's memory (default: all)")
    option("--host", default="127.0.0.1", help="listen there; 0.0.0.0 is open to the network (default: %(default)s)")
    text = "listen for metrics there, where Prometheus is on another machine (default: where HTTP does)"
    option("--metrics-host", metavar="HOST", help=text)
    for service, number in (("grpc", 8001), ("http", 8000), ("metrics", 8002)):
        text = f"listen for {service} there; 0: any free port (default: {number})"
        option(f"--{service}-port", type=port, default=number, metavar="P", help=text)
    option("--log", type=Path, metavar="FILE", help="write Triton's log there (default: a temporary file)")
    text = "wait so long for the first inference (default: %(default)g)"
    option("--start-timeout", type=float, default=START_TIMEOUT, metavar="SECONDS", help=text)
    option("--model-control", action="store_true", help="let `python -m server.upgrade` exchange networks")
    option("--trace", type=Path, metavar="FILE", help="write traces there; `python -m server.trace -h` says how")
    access = parser.add_argument_group("access")
    for flag, text in ACCESS_FILES:
        access.add_argument(flag, type=Path, metavar="FILE", help=text)
    arguments = parser.parse_args()
    if not arguments.start_timeout > 0.0:
        parser.error(f"--start-timeout is a number of seconds, not {arguments.start_timeout:g}")
    if arguments.trace and not os.access(arguments.trace.absolute().parent, os.W_OK):
        parser.error(f"--trace {arguments.trace} cannot be written; choose a file in a folder that can")
    os.environ.update(arguments.gpus.environment)
    machine = this_machine(arguments.gpus.count)
    machine = replace(machine, turns=not arguments.no_turns, memory=arguments.memory or machine.memory)
    control = MODEL_CONTROL if arguments.model_control else ()
    return Options(
        repository=arguments.repository,
        machine=replace(machine, max_batch=arguments.max_batch, instances=arguments.instances),
        host=arguments.host,
        metrics_host=arguments.metrics_host,
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
        log=arguments.log,
        start_timeout=arguments.start_timeout,
        access=Access(
            tls_cert=arguments.tls_cert,
            tls_key=arguments.tls_key,
            tls_ca=arguments.tls_ca,
            api_key=read_key("--api-key-file", arguments.api_key_file),
            admin_key=read_key("--admin-key-file", arguments.admin_key_file),
        ),
        extra=(*control, *(trace_flags(arguments.trace) if arguments.trace else ())),
    )


def describe_access(options: Options) -> str:
    """What clients have to give, and whether anyone can connect: lines, each with its end."""
    access = options.access
    needs = ["--tls"] if access.tls_cert else []
    needs += ["--cert and --key"] if access.tls_ca else []
    needs += [f"--header {GRPC_PREFIX}{API_KEY}:KEY"] if access.api_key else []
    lines = [f"Clients give {', '.join(needs)}."] if needs else []
    if not is_loopback(options.host) and not (access.tls_cert and access.api_key):
        lines += ["Anyone can use this server: --tls-cert, --tls-key and --api-key-file restrict it to your clients."]
    return "".join(f"{line}\n" for line in lines)


def port(text: str) -> int:
    """Parse a port number, 0–65535."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def serve(options: Options) -> NoReturn:
    """Serve until Ctrl-C or SIGTERM; after a death start again, on the same ports.

    Raises ServerError: the server cannot be started, or dies at once too often.
    """
    with tempfile.TemporaryDirectory(prefix=f"relight-triton-{os.getpid()}-") as notes:
        kept = replace(options, notes=Path(notes))

        def live() -> Death:
            nonlocal kept
            with embedded_server(kept) as server:
                urls = (server.grpc_url, server.http_url, server.metrics_url)
                grpc, http, metrics = (int(url.rpartition(":")[2]) for url in urls)
                kept = replace(kept, log=server.log, grpc_port=grpc, http_port=http, metrics_port=metrics)
                print(f"Triton serves {server.repository}: gRPC {server.grpc_url} · HTTP {server.http_url} ", end="")
                print(f"· metrics {server.metrics_url}/metrics\nLog: {server.log}")
                print(f"{describe_access(options)}Ctrl-C stops it.", flush=True)
                return server.watch.wait(partial(answered, server.http_url))

        keep_serving(live, partial(print, file=sys.stderr, flush=True))


def main() -> int:
    """Serve; return 0 after a stop on request, 1 when the server cannot start or keeps dying."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the server as Ctrl-C does
    try:
        serve(parse_arguments())
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    run(main)

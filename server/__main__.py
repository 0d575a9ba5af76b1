"""`python -m server`: serve a model repository with the embedded Triton until Ctrl-C or SIGTERM."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from server.derive import this_machine
from server.embedded import START_TIMEOUT, Options, embedded_server
from server.installation import ServerError

HOUSE = Path(__file__).resolve().parent.parent / "model_repository"


def parse_arguments() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m server", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--repository", type=Path, default=HOUSE, help="model repository to serve")
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="number of GPUs; 0 serves on the CPU")
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
    arguments = parser.parse_args()
    if arguments.gpus < 0:
        parser.error(f"--gpus is a number of GPUs, 0 for none, not {arguments.gpus}")
    if not arguments.start_timeout > 0.0:
        parser.error(f"--start-timeout is a number of seconds, not {arguments.start_timeout:g}")
    return Options(
        repository=arguments.repository,
        machine=this_machine(arguments.gpus),
        host=arguments.host,
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
        log=arguments.log,
        start_timeout=arguments.start_timeout,
    )


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


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into the exception that Ctrl-C raises, so that both take the same way out."""
    raise KeyboardInterrupt


def main() -> int:
    """Serve; return 0 after a stop on request, 1 when the server cannot start or ends by itself."""
    options = parse_arguments()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        with embedded_server(options) as server:
            print(f"Triton serves {server.repository}: gRPC {server.grpc_url} · HTTP {server.http_url} ", end="")
            print(f"· metrics {server.metrics_url}/metrics\nLog: {server.log}\nCtrl-C stops it.", flush=True)
            code = server.process.wait()
            print(f"Triton ended by itself ({cause(code)}). Log: {server.log}", file=sys.stderr)
            return 1
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m export verify DIR`: compare an export with its network's answers again, where it is served."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import tritonclient.grpc as triton
from torch import Tensor, from_numpy
from tritonclient.utils import np_to_triton_dtype

from contract.names import NETWORKS
from contract.versions import REPORT, newest_version
from export.check.gate import Measurement, measure
from export.check.reference import load_reference
from export.files.formats import file_format
from export.files.version_folder import digest
from export.tensors import Contract, Runtime, TensorSpec, read_contract

TIMEOUT = 60.0  # seconds for a question that no network answers


@dataclass(frozen=True)
class Server:
    """A Triton to be asked by gRPC."""

    url: str  # host:port
    tls: bool = False  # whether the line is encrypted; the files (PEM) are only read then
    ca: Path | None = None  # the authorities (CAs) that sign the server's certificate; None for the public ones
    cert: Path | None = None  # our own certificate, where the server asks for one
    key: Path | None = None  # its private key
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # what every request carries, such as an API key

    def connect(self) -> triton.InferenceServerClient:
        """Open a connection, which is a context manager."""
        ca, cert, key = (str(file) if file else None for file in (self.ca, self.cert, self.key))
        return triton.InferenceServerClient(
            self.url, ssl=self.tls, root_certificates=ca, private_key=key, certificate_chain=cert
        )


def verify(argv: list[str]) -> int:
    """Verify every network of a repository; return 0, or 1 when one fails or cannot be verified."""
    parser = argparse.ArgumentParser(
        prog="python -m export verify", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("repository", type=Path, metavar="DIR", help="model repository")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--device", default="cpu", help="run the files here: cpu or cuda:<n>")
    where.add_argument("--url", metavar="HOST:PORT", help="ask the Triton that serves DIR instead, by gRPC")
    access = parser.add_argument_group("with --url")
    add = access.add_argument
    add("--tls", action="store_true", help="encrypt the line")
    for flag, text in (
        ("--ca", "the CAs that sign the server's certificate"),
        ("--cert", "our certificate"),
        ("--key", "its key"),
    ):
        add(flag, type=Path, metavar="FILE", help=f"{text} (PEM)", default=argparse.SUPPRESS)
    add("--header", type=header, action="append", default=[], metavar="NAME:VALUE", help="such as an API key")
    arguments = parser.parse_args(argv)
    server = read_server(arguments) if arguments.url else None
    return 0 if verify_repository(arguments.repository, arguments.device, server) else 1


def verify_repository(repository: Path, device: str = "cpu", server: Server | None = None) -> bool:
    """Verify every network on a device or, if one is given, a server; tell of each, return whether all passed."""
    failed = False
    for name in NETWORKS:
        contract = read_contract(name)
        folder = newest_version(repository / name, holding=REPORT) or repository / name / "1"
        try:
            measurements = verify_network(folder, contract, device, server)
        except Exception as error:  # whatever a runtime raises, the others are still to be verified
            print(f"{name:<10} FAILED: {error}", file=sys.stderr)
            failed = True
            continue
        faults = [found for found in measurements if not found.passed]
        failed = failed or bool(faults)
        print(f"{name:<10} {'FAILED' if faults else 'computes what its network computes'}")
        for found in faults or measurements:
            print(f"           {found}")
    return not failed


def read_server(arguments: argparse.Namespace) -> Server:
    """The server that a command line names."""
    files = {name: getattr(arguments, name, None) for name in ("ca", "cert", "key")}
    return Server(arguments.url, arguments.tls, headers=dict(arguments.header), **files)


def header(text: str) -> tuple[str, str]:
    """Parse NAME:VALUE; what is wrong is said without the value."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("a header is NAME:VALUE")
    return name.strip().lower(), value.strip()


def verify_network(folder: Path, contract: Contract, device: str, server: Server | None) -> list[Measurement]:
    """Compare one network's file, or the server's answers, with its reference.

    Raises:
        FileNotFoundError: nothing was exported there.
        ValueError: the file is not the one that was exported.
        ExportError: a batch is not answered.
    """
    text = json.loads((folder / REPORT).read_text("utf-8"))
    form = file_format(text["format"])
    if digest(folder / form.MODEL) != text["sha256"]:
        raise ValueError(
            f"{folder / form.MODEL} is not the file that was exported: its SHA-256 differs from {REPORT}'s."
        )
    sizes: Iterable[int] = text["batches"] if device == "cpu" else range(1, contract.max_batch_size + 1)
    runtime = form.load(folder, contract, device) if server is None else served(server, contract, text["format"])
    if server is not None:
        sizes = range(1, served_limit(server, contract.name) + 1)
    return measure(
        load_reference(folder, contract), runtime, contract, sizes, text["precision"], text["weights"] == "random"
    )


def served_limit(server: Server, model: str) -> int:
    """The largest batch that a server takes for a model; at least 1."""
    with server.connect() as client:
        answer = client.get_model_config(model, headers=server.headers, client_timeout=TIMEOUT)
    return max(1, int(answer.config.max_batch_size))


def served(server: Server, contract: Contract, file_format_name: str) -> Runtime:
    """A network as a Triton serves it, whatever engine it uses there."""
    numbered = file_format_name != "onnx"  # the pytorch backend's names end in the tensor's position

    def names(specs: tuple[TensorSpec, ...]) -> list[str]:
        return [f"{spec.name}__{at}" if numbered else spec.name for at, spec in enumerate(specs)]

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        tensors = []
        for name, value in zip(names(contract.inputs), inputs, strict=True):
            array = value.numpy()
            tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensors.append(tensor.set_data_from_numpy(array))
        with server.connect() as client:
            # Without a time limit: networks may take a CPU minutes, and a cancelled call can crash Triton before 24.12.
            answer = client.infer(contract.name, tensors, headers=server.headers)
        return tuple(from_numpy(answer.as_numpy(name).copy()) for name in names(contract.outputs))

    return run

"""`python -m export verify DIR`: hold an export to its network's answers again, where it is served."""

import argparse
import json
import sys
from pathlib import Path

import tritonclient.grpc as triton
from torch import Tensor, from_numpy
from tritonclient.utils import np_to_triton_dtype

from export.contract import NETWORKS, Contract, TensorSpec, read_contract
from export.formats import Runtime, file_format
from export.gate import Measurement, measure
from export.reference import load_reference
from export.version_folder import REPORT, digest

TIMEOUT = 600.0  # seconds for one batch; full-size networks take a CPU minutes


def verify(argv: list[str]) -> int:
    """Verify every network of a repository; return 0, or 1 when one fails or cannot be verified."""
    parser = argparse.ArgumentParser(
        prog="python -m export verify", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("repository", type=Path, metavar="DIR", help="model repository")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--device", default="cpu", help="run the files here: cpu or cuda:<n>")
    where.add_argument("--url", metavar="HOST:PORT", help="ask the Triton that serves DIR instead, by gRPC")
    arguments = parser.parse_args(argv)
    failed = False
    for name in NETWORKS:
        contract = read_contract(name)
        folder = newest_version(arguments.repository / name)
        try:
            measurements = verify_network(folder, contract, arguments.device, arguments.url)
        except Exception as error:  # whatever a runtime raises, the others are still to be verified
            print(f"{name:<10} FAILED: {error}", file=sys.stderr)
            failed = True
            continue
        faults = [found for found in measurements if not found.passed]
        failed = failed or bool(faults)
        print(f"{name:<10} {'FAILED' if faults else 'computes what its network computes'}")
        for found in faults or measurements:
            print(f"           {found}")
    return 1 if failed else 0


def newest_version(folder: Path) -> Path:
    """The version folder that Triton serves: the largest number that holds an export.."""
    versions = [int(report.parent.name) for report in folder.glob(f"*/{REPORT}") if report.parent.name.isdecimal()]
    return folder / str(max(versions, default=1))


def verify_network(folder: Path, contract: Contract, device: str, url: str | None) -> list[Measurement]:
    """Compare one network's file, or the server's answers, with its reference.

    Raises:
        FileNotFoundError: nothing was exported there.
        ValueError: the file is not the one that was exported.
    """
    text = json.loads((folder / REPORT).read_text())
    form = file_format(text["format"])
    if digest(folder / form.MODEL) != text["sha256"]:
        raise ValueError(
            f"{folder / form.MODEL} is not the file that was exported: its SHA-256 differs from {REPORT}'s."
        )
    runtime = served(url, contract, text["format"]) if url else form.load(folder, contract, device)
    random_weights = text["weights"] == "random"
    batches = tuple(text["batches"])
    return measure(load_reference(folder, contract), runtime, contract, batches, text["precision"], random_weights)


def served(url: str, contract: Contract, file_format_name: str) -> Runtime:
    """A network as the Triton at `url` serves it, whatever engine it uses there."""
    numbered = file_format_name == "torchscript"  # the pytorch backend's names end in the tensor's position

    def names(specs: tuple[TensorSpec, ...]) -> list[str]:
        return [f"{spec.name}__{at}" if numbered else spec.name for at, spec in enumerate(specs)]

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        tensors = []
        for name, value in zip(names(contract.inputs), inputs, strict=True):
            array = value.numpy()
            tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensors.append(tensor.set_data_from_numpy(array))
        with triton.InferenceServerClient(url) as client:
            answer = client.infer(contract.name, tensors, client_timeout=TIMEOUT)
        return tuple(from_numpy(answer.as_numpy(name).copy()) for name in names(contract.outputs))

    return run

"""A network → one AOTInductor package: its graph compiled for the chip of this machine, with a dynamic batch."""

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.attention import SDPBackend, sdpa_kernel

from export.errors import ExportError
from export.gelu import CheapGelu
from export.tensors import Contract, Runtime, TensorSpec, example_inputs

MODEL = "model.pt2"
# Neither is typed; pyproject.toml pins torch.
inductor: Any = torch._inductor
packages: Any = torch._C._aoti
shapes: Any = torch.fx.experimental._config

# Inductor counts in 32 bits where the size of the example fits in them, unless a dimension has a bound.
LARGEST = (1024, 64)  # of the dimensions that vary beside the batch: pictures of a photo, sources of a picture
# torch chooses a convolution's memory layout for batches from 16 up: what is compiled for such an example is wrong.
# No other dimension of a network is this number, with which the compiler might take the batch for it.
EXAMPLE_BATCH = 7
# A kernel's number of threads is otherwise that of this process.
OPTIONS = {"cpp.dynamic_threads": True}
ATTENTION = [  # the fastest first, where the chip has it
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def target() -> str:
    """What a package is compiled for: the first GPU, or the CPU where there is none."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def write(network: nn.Module, contract: Contract, folder: Path) -> None:
    """Compile a network in evaluation mode into `folder`; it is moved to the device it is compiled for.

    The package in the folder above is taken as it is where it was compiled from the same graph and weights, for the
    same chip, by the same torch.

    Raises ExportError: there is no C++ compiler, or the network cannot be compiled.
    """
    device = torch.device(target())
    require_tools(device)
    try:
        program = trace(network.to(device), contract, device)
        key = fingerprint(program, contract, device)
        former = folder.parent / MODEL
        if former.exists() and metadata(former).get("key") == key:
            shutil.copy2(former, folder / MODEL)
        else:
            compile_package(program, folder / MODEL, describe(contract, key))
    except Exception as error:  # exporter and compiler raise types of their own, whose first line is the reason
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"{contract.name}: AOTInductor cannot compile the network ({reason}); --format torchscript does without."
        ) from error


def require_tools(device: torch.device) -> None:
    """Raise ExportError unless there are a C++ compiler and, for a GPU, CUDA's headers."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise ExportError(
            "--format aoti compiles and needs a C++ compiler: install g++, or name one in the variable CXX."
        ) from error
    if device.type == "cuda":
        from torch.utils import cpp_extension  # where Inductor looks for CUDA

        wheels = Path(torch.__file__).parents[1] / "nvidia" / f"cu{str(torch.version.cuda).partition('.')[0]}"
        places = (cpp_extension.CUDA_HOME, str(wheels))
        cpp_extension.CUDA_HOME = next((place for place in places if place and has_headers(place)), None)
        if cpp_extension.CUDA_HOME is None:
            raise ExportError(
                "--format aoti needs CUDA's headers: install the CUDA toolkit, or from PyPI nvidia-cuda-crt and "
                f"nvidia-cuda-cccl, both of version {torch.version.cuda}.*."
            )


def has_headers(cuda: str) -> bool:
    """Whether a folder has CUDA's headers: a toolkit, or torch's wheels with nvidia-cuda-crt and nvidia-cuda-cccl."""
    include = Path(cuda) / "include"
    nv = (include / "nv/target", include / "cccl/nv/target")
    return (include / "cuda_runtime.h").exists() and (include / "crt").is_dir() and any(file.exists() for file in nv)


def trace(network: nn.Module, contract: Contract, device: torch.device) -> ExportedProgram:
    """The network as a graph whose batch, and every −1 of its contract, may be any size from 1 up to a bound."""
    batch = min(EXAMPLE_BATCH, max(2, contract.max_batch_size - 1))
    drawn = zip(contract.inputs, example_inputs(contract, batch), strict=True)
    inputs = tuple(enlarge(spec, value).to(device) for spec, value in drawn)
    with tracing(device):
        return torch.export.export(
            network, inputs, dynamic_shapes=tuple(dynamic(spec, contract) for spec in contract.inputs), strict=False
        )


def enlarge(spec: TensorSpec, value: Tensor) -> Tensor:
    """An example twice as large where its size varies.

    With two sources one is left beside the first, and what is compiled for one reads the same for each of several.
    """
    return value.repeat(1, *(2 if size == -1 else 1 for size in spec.dims))


def dynamic(spec: TensorSpec, contract: Contract) -> dict[int, Any]:
    """The dimensions of an input that vary, each with its bound."""
    free = iter(LARGEST)
    vary = {at: Dim.DYNAMIC(max=next(free)) for at, size in enumerate(spec.dims, 1) if size == -1}
    return {0: Dim.DYNAMIC(max=max(3, contract.max_batch_size)), **vary}


def compile_package(program: ExportedProgram, file: Path, notes: dict[str, str]) -> None:
    """Compile a graph. Sizes of the example are not taken for granted: without guards none is checked at run time."""
    graph = program.graph_module.graph
    (*_, last) = graph.find_nodes(op="placeholder")
    sizes = last.meta["val"].fake_mode.shape_env
    options = {**OPTIONS, "aot_inductor.metadata": notes}
    with compiling(), linking(), sizes.suppress_guards():
        inductor.aoti_compile_and_package(program, package_path=str(file), inductor_configs=options)


@contextmanager
def tracing(device: torch.device) -> Iterator[None]:
    """Trace a network for a device; only a GPU gains by the cheap GELU."""
    with compiling(), CheapGelu() if device.type == "cuda" else nullcontext():
        yield


@contextmanager
def compiling() -> Iterator[None]:
    """Hide the libraries' notes on their own internals, order kinds of attention, let 0 and 1 be sizes like others."""
    with warnings.catch_warnings(), sdpa_kernel(ATTENTION, set_priority=True), torch.no_grad():
        warnings.simplefilter("ignore")
        with shapes.patch(backed_size_oblivious=True):
            yield


@contextmanager
def linking() -> Iterator[None]:
    """Let g++ find what a GPU's package needs: CUDA's nv/target, and libcuda.so where a driver has only libcuda.so.1.

    The library is the one that this process runs with.
    """
    mapped = (line.rpartition(" ")[2] for line in Path("/proc/self/maps").read_text("utf-8").splitlines())
    driver = next((file for file in mapped if Path(file).name.startswith("libcuda.so")), None)
    if driver is None:  # it compiles for the CPU
        yield
        return
    from torch.utils import cpp_extension

    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "libcuda.so").symlink_to(driver)
        found = {"LIBRARY_PATH": folder, "CPATH": f"{cpp_extension.CUDA_HOME}/include/cccl"}
        for name, place in found.items():
            os.environ[name] = ":".join(filter(None, (place, before.get(name))))
        try:
            yield
        finally:
            for name in found:
                os.environ.pop(name)
            os.environ.update(before)


def fingerprint(program: ExportedProgram, contract: Contract, device: torch.device) -> str:
    """Name what a package is made from: graph, sizes, weights, chip, torch, options; SHA-256 in hexadecimal."""
    found = hashlib.sha256(repr((contract, LARGEST, OPTIONS, chip(device), torch.__version__)).encode())
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            found.update(part.code.encode())
    for name, value in sorted({**program.state_dict, **program.constants}.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def chip(device: torch.device) -> str:
    """The chip that is compiled for, as far as its code depends on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    return str(pick_vec_isa())


def describe(contract: Contract, key: str) -> dict[str, str]:
    """What a package says of itself, for the server that loads it."""
    inputs = " ".join(spec.name for spec in contract.inputs)
    limit = str(contract.max_batch_size)
    return {"key": key, "torch": torch.__version__, "inputs": inputs, "max_batch_size": limit}


def metadata(file: Path) -> dict[str, str]:
    """What a package says of itself, and what torch adds: the device, its compute capability, the CPU's vectors."""
    found: dict[str, str] = packages.AOTIModelPackageLoader.load_metadata_from_package(str(file), "model")
    return found


def load(folder: Path, contract: Contract, device: str = "cpu") -> Runtime:
    """Open the compiled file on "cpu" or "cuda:<n>".

    Raises ExportError: it was compiled for the other.
    """
    place = torch.device(device)
    ask = open_package(folder, place)

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(answer.cpu() for answer in ask(tuple(value.to(place) for value in inputs)))

    return run


def open_package(folder: Path, device: torch.device) -> Runtime:
    """Open the compiled file; inputs and answers stay on the device.

    Raises ExportError: it was compiled for another kind of device.
    """
    file = folder / MODEL
    if (kind := metadata(file)["AOTI_DEVICE_KEY"]) != device.type:
        raise ExportError(f"{file} was compiled for {kind} and does not run on {device.type}: name the right --device.")
    number = -1 if device.type == "cpu" else device.index or 0
    runner = packages.AOTIModelPackageLoader(str(file), "model", True, 1, number)

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # Compiled code takes an input's strides for granted.
        answers: list[Tensor] = runner.boxed_run([value.contiguous() for value in inputs])
        return tuple(answers)

    return run

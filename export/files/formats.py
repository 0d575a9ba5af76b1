"""The file formats a network can be exported to, and what they have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from torch import Tensor, nn

from export.tensors import Contract

Format: TypeAlias = Literal["onnx", "torchscript"]
Runtime: TypeAlias = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
FORMATS: tuple[Format, ...] = ("onnx", "torchscript")


class FileFormat(Protocol):
    """What a module of a format offers."""

    MODEL: str  # name of the file that is served, in a version folder

    def write(self, network: nn.Module, contract: Contract, folder: Path) -> None:
        """Write `network` into `folder`: the file MODEL, and what it refers to."""

    def load(self, folder: Path, contract: Contract, device: str = "cpu") -> Runtime:
        """Open what `write` wrote in its own runtime, on "cpu" or "cuda:<n>": CPU tensors in and out."""


def file_format(name: str) -> FileFormat:
    """Return the module of a format. Only that one is imported: a machine may have but one of the runtimes."""
    if name == "torchscript":
        from export.files import torchscript_file

        return torchscript_file
    from export.files import onnx_file

    return onnx_file

"""The file formats a network can be exported to, and what they have in common."""

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from torch import nn

from export.tensors import Contract, Runtime

Format: TypeAlias = Literal["onnx", "torchscript"]
FORMATS: tuple[Format, ...] = ("onnx", "torchscript")


class FileFormat(Protocol):
    """What the module of a format has."""

    MODEL: str  # name of the served file in a version folder

    def write(self, network: nn.Module, contract: Contract, folder: Path) -> None:
        """Write `network` into `folder`: the file MODEL and the files it refers to."""

    def load(self, folder: Path, contract: Contract, device: str = "cpu") -> Runtime:
        """Open the file MODEL in the runtime of its format, on "cpu" or "cuda:<n>"."""


def file_format(name: str) -> FileFormat:
    """Return the module of a format. Only that one is imported: a machine may have only one of the runtimes."""
    if name == "torchscript":
        from export.files import torchscript_file

        return torchscript_file
    from export.files import onnx_file

    return onnx_file

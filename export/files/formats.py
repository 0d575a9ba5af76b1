"""The file formats a network can be exported to, and what they have in common."""

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from torch import nn

from export.tensors import Contract, Runtime

Format: TypeAlias = Literal["onnx", "torchscript", "aoti"]
FORMATS: tuple[Format, ...] = ("onnx", "torchscript", "aoti")


class FileFormat(Protocol):
    """What the module of a format has."""

    MODEL: str  # name of the served file in a version folder

    def write(self, network: nn.Module, contract: Contract, folder: Path) -> None:
        """Write `network` into `folder`: the file MODEL and the files it refers to."""

    def load(self, folder: Path, contract: Contract, device: str = "cpu") -> Runtime:
        """Open the file MODEL in the runtime of its format, on "cpu" or "cuda:<n>"."""

    def target(self) -> str:
        """Where a file that was just written is compared with its network: "cpu" or "cuda:0"."""


def file_format(name: str) -> FileFormat:
    """Return the module of a format. Only that one is imported: a machine may have only one of the runtimes."""
    if name == "torchscript":
        from export.files import torchscript_file

        return torchscript_file
    if name == "aoti":
        from export.files import aoti_file

        return aoti_file
    from export.files import onnx_file

    return onnx_file

"""Lays out the wheel's Triton as NVIDIA's image has it, in /opt/tritonserver, for images without NVIDIA's."""

import sys
from pathlib import Path

from server.installation import assemble_backends, find_installation


def lay_out(folder: Path) -> None:
    """Make `folder`/bin, lib and backends; the first two are links into the wheel.

    Raises ServerError: no wheel is installed.
    """
    installation = find_installation()
    folder.mkdir(parents=True)
    (folder / "bin").symlink_to(installation.binary.parent)
    (folder / "lib").symlink_to(installation.libraries)
    assemble_backends(installation, folder / "backends")


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))

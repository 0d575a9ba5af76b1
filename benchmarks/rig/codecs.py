"""The photo reader of the model `decode` and the file writer of the model `encode`, outside of Triton."""

import sys
from collections.abc import Mapping

from benchmarks import REPOSITORY
from benchmarks.rig.networks import PICTURES, Pixels
from contract.files import parse_files

sys.path.insert(0, str(REPOSITORY / "decode" / "1"))
sys.path.insert(0, str(REPOSITORY / "encode" / "1"))

from formats import encode_colours
from photo import read_photo
from png import encode_png

__all__ = ["encode_pictures", "encode_png", "read_photo"]


def encode_pictures(pictures: Mapping[str, Pixels], files: str) -> dict[str, bytes]:
    """The file of each of a photo's PICTURES; `files` is FILES as the ensemble takes it."""
    asked = parse_files(files)
    return {name: encode_colours(asked, name, pictures[name]) if name in asked.names else b"" for name in PICTURES}

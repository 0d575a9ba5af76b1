"""The photo reader of the model `decode` and the file writer of the model `encode`, outside of Triton."""

import sys
from collections.abc import Mapping

from benchmarks import REPOSITORY
from benchmarks.rig.networks import PICTURES, Pixels
from contract.files import parse_files
from contract.photos import PhotoRules

sys.path.insert(0, str(REPOSITORY / "decode" / "1"))
sys.path.insert(0, str(REPOSITORY / "encode" / "1"))

from formats import encode_colours
from framing import fit
from photo import open_photo, read_photo
from png import encode_png
from reading import Reading

__all__ = ["encode_pictures", "encode_png", "read_photo", "read_scaled"]


def encode_pictures(pictures: Mapping[str, Pixels], files: str) -> dict[str, bytes]:
    """The file of each of a photo's PICTURES; `files` is FILES as the ensemble takes it."""
    asked = parse_files(files)
    return {name: encode_colours(asked, name, pictures[name]) if name in asked.names else b"" for name in PICTURES}


def read_scaled(data: bytes, size: int) -> Pixels:
    """A photo as the model `decode` gives it where FILES asks for this size."""
    rules = PhotoRules(size)
    return fit(open_photo(data, Reading(rules=rules, least=(size, size))), rules).pixels

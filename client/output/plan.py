"""What a run keeps of each row: which pictures, in which format, and the names of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from client.input.row import Row
from contract.files import FORMATS, Files, FilesError
from contract.files import parse_files as parse_request
from contract.names import PER_LIGHT, PICTURES
from contract.photos import ANY_PHOTO, PhotoRules

WRITERS = ("files", "webdataset", "null")
LAYOUTS = ("flat", "sharded")
ROWS_PER_FOLDER = 1000  # of the layout `sharded`
_ALL = "all"
_OTHER_NAMES = {"degraded_fg": "degraded"}  # its name in the replaced pipeline


@dataclass(frozen=True)
class Plan:
    """Which pictures a run keeps, of which photos, how many lights a photo gets, and how the files are laid out."""

    # In the order of PICTURES: a training pair's input and its target, which differ in their light alone, and the
    # target of de-lighting.
    pictures: tuple[str, ...] = ("output", "albedo", "mask", "foreground")
    format: str = "png"  # as FILES of the ensemble has it: png:16, jpeg:92, webp:lossless, exr
    photo: PhotoRules = ANY_PHOTO  # what a photo must be, and how it is scaled and cut
    variants: int = 1
    writer: str = "files"  # of WRITERS
    layout: str = "flat"  # of LAYOUTS, for the writer `files`
    rows_per_tar: int = 1000

    def request(self) -> str:
        """The FILES input of the ensemble, such as `output,albedo,mask;jpeg:92;size=1024`."""
        return f"{','.join(self.pictures)};{self.format};{self.photo}".rstrip(";")

    @property
    def files(self) -> Files:
        """What the request asks for, as the server reads it."""
        return parse_request(self.request())

    def values(self) -> dict[str, str]:
        """What the values of each picture's files are, in a sentence."""
        return {picture: self.files.values(picture) for picture in self.pictures}

    def count(self, picture: str) -> int:
        """The number of a row's files of this kind."""
        return self.variants if picture in PER_LIGHT else 1

    def endings(self, picture: str) -> list[str]:
        """The endings of a row's file names of one kind: mask.png, or output_0.png, output_1.png, …."""
        extension = self.files.extension(picture)
        if self.count(picture) == 1:
            return [f"{picture}.{extension}"]
        return [f"{picture}_{k}.{extension}" for k in range(self.variants)]

    def file_name(self, row: Row, ending: str) -> str:
        """00007_mask.png as a file; 00007.mask.png in a tar, where a dot ends the key of a sample."""
        return f"{row.name}.{ending}" if self.writer == "webdataset" else f"{row.name}_{ending}"

    def metadata_name(self, row: Row) -> str:
        """The name of the row's metadata; `json` is what readers of webdatasets look for."""
        return self.file_name(row, "json" if self.writer == "webdataset" else "metadata.json")

    def file_names(self, row: Row) -> dict[str, list[str]]:
        """The names of the row's pictures by kind."""
        return {picture: [self.file_name(row, ending) for ending in self.endings(picture)] for picture in self.pictures}

    def place(self, number: int) -> str:
        """The folder or the tar of a row within the run's folder; empty for the folder itself."""
        if self.writer == "webdataset":
            return f"{number // self.rows_per_tar:05d}.tar"
        return f"{number // ROWS_PER_FOLDER:05d}" if self.layout == "sharded" else ""

    def leading(self, row: Row) -> list[str]:
        """The files that the output CSV names: those of the run's first kind of picture.

        Paths within the run's folder; those in a tar begin with it, as in 00000.tar/00007.output.png.
        """
        if self.writer == "null":
            return [""]
        place = PurePosixPath(self.place(row.number))
        return [str(place / self.file_name(row, ending)) for ending in self.endings(self.pictures[0])]


def parse_pictures(text: str) -> tuple[str, ...]:
    """Parse `output,albedo,mask` or `all`. Raises ValueError with a sentence."""
    asked = {_OTHER_NAMES.get(name.strip(), name.strip()) for name in text.split(",") if name.strip()}
    if asked == {_ALL}:
        return PICTURES
    unknown = sorted(asked - set(PICTURES))
    if unknown or not asked:
        raise ValueError(
            f"there are no files called {', '.join(unknown) or 'nothing'}; choose from {', '.join(PICTURES)}"
        )
    return tuple(name for name in PICTURES if name in asked)


def parse_format(text: str) -> str:
    """Check `--format jpeg` or `webp:80`. Raises ValueError with a sentence."""
    try:
        parse_request(f"{PICTURES[0]};{text}")
    except FilesError as error:
        raise ValueError(f"there is no format {text!r}; choose from {FORMATS}") from error
    return text.strip()


def with_depth(form: str, depth: int | None) -> str:
    """The format with `--depth` bits for each value, 8 or 16. Raises ValueError with a sentence."""
    if depth is None or form == "exr":  # whose values are floats
        return form
    if form.partition(":")[0] != "png":
        if depth == 16:
            raise ValueError(f"--depth 16 needs --format png or exr: {form} has 8 bits for each value")
        return form
    return "png:16" if depth == 16 else "png"

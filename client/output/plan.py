"""What a run keeps of each row: which pictures, in which format, and the names of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from client.input.row import Row
from contract.files import FORMATS, Files, FilesError
from contract.files import parse_files as parse_request
from contract.names import PER_LIGHT, PICTURES
from contract.photos import ANY_PHOTO, PhotoRules

DATASETS = ("folder", "webdataset", "parquet", "null")
PACKED = {"webdataset": ".tar", "parquet": ".parquet"}  # datasets of many rows in a file
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
    dataset: str = "folder"  # of DATASETS
    layout: str = "flat"  # of LAYOUTS, for the dataset `folder`
    rows_per_tar: int = 1000  # or Parquet file

    def request(self) -> str:
        """The FILES input of the ensemble, such as `output,albedo,mask;jpeg:92;size=1024`."""
        return f"{','.join(self.pictures)};{self.format};{self.photo}".rstrip(";")

    @property
    def files(self) -> Files:
        """What the request asks for, as the server reads it."""
        return parse_request(self.request())

    @property
    def is_packed(self) -> bool:
        """Whether a file of the dataset holds many rows."""
        return self.dataset in PACKED

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

    def file_names(self, row: Row) -> dict[str, list[str]]:
        """The names of the row's files in a folder by kind, as in 00007_output_0.png."""
        return {picture: [f"{row.name}_{ending}" for ending in self.endings(picture)] for picture in self.pictures}

    def metadata_name(self, row: Row) -> str:
        """The name of the row's metadata in a folder."""
        return f"{row.name}_metadata.json"

    def sample_names(self, row: Row) -> list[dict[str, str]]:
        """For each of the row's lights the names of all its files by kind; a photo's own are those of every light.

        In a packed dataset a name is 00007_0.output.png: a dot ends the key of a sample.
        """
        if self.is_packed:
            return [
                {picture: f"{key_of(row, k)}.{picture}.{self.files.extension(picture)}" for picture in self.pictures}
                for k in range(self.variants)
            ]
        names = self.file_names(row)
        return [{picture: names[picture][k % len(names[picture])] for picture in names} for k in range(self.variants)]

    def place(self, row: Row) -> str:
        """The folder or the packed file of a row within the run's folder; empty for the folder itself."""
        parts = [row.split] if row.split else []
        if self.is_packed:
            parts.append(f"{row.number // self.rows_per_tar:05d}{PACKED[self.dataset]}")
        elif self.layout == "sharded":
            parts.append(f"{row.number // ROWS_PER_FOLDER:05d}")
        return "/".join(parts)

    def leading(self, row: Row) -> list[str]:
        """The files that the output CSV names: those of the run's first kind of picture.

        Paths within the run's folder; those in a packed file begin with it, as in 00000.tar/00007_0.output.png.
        """
        if self.dataset == "null":
            return [""]
        first, place = self.pictures[0], PurePosixPath(self.place(row))
        return [str(place / names[first]) for names in self.sample_names(row)[: self.count(first)]]


def key_of(row: Row, k: int) -> str:
    """What picture `k` of a row is known by in its dataset."""
    return f"{row.name}_{k}"


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

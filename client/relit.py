"""What `relight` returns: the pictures of one photo under K lights, as arrays, images, tensors and files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.errors import RelightError
from client.input.row import Row
from client.output.files import Content, row_files, write_whole
from client.output.plan import Plan
from client.output.records import Records
from client.triton.pixels import Pixels, viewable
from contract.files import COLOURS
from contract.names import PER_LIGHT

Floats = NDArray[np.float32]

_TILE_HEIGHT, _TILES_PER_ROW, _MOST_TILES, _GAP = 256, 8, 32, 4  # of `show`; pixels, tiles, tiles, pixels


@dataclass(frozen=True, repr=False, eq=False)
class Relit:
    """One photo relit by K lights. A picture that was not asked for raises RelightError when it is read."""

    pictures: Mapping[str, NDArray[Any]]  # by name
    lights: list[dict[str, Any]]  # K entries as metadata.json has them; each may be given to `relight` again
    info: dict[str, Any]  # score, box (xyxy, 0-1), count, residual, width, height, original, crop, models
    files: Mapping[str, Sequence[Content]]  # the PNG files of the pictures as the server sent them, by name
    asked: Mapping[str, Any]  # what metadata.json says besides: image_path, prompt, seed, thresholds

    @property
    def output(self) -> Pixels:
        """The relit person over the background, sRGB, uint8 [K,H,W,3]."""
        return self._picture("output")

    @property
    def degraded(self) -> Pixels:
        """The relit person over black, sRGB, uint8 [K,H,W,3]."""
        return self._picture("degraded")

    @property
    def albedo(self) -> Pixels:
        """The photo without its light, sRGB, uint8 [H,W,3]."""
        return self._picture("albedo")

    @property
    def shading(self) -> Floats:
        """The diffuse light, linear Rec. 709, float32 [K,H,W,3], 0 to 4."""
        return self._picture("shading")

    @property
    def normal(self) -> Floats:
        """The surface's normals, float32 [H,W,3] of length 1: +x right, +y up, +z toward the camera; sent as 8 bits."""
        return self._picture("normal")

    @property
    def depth(self) -> Floats:
        """Relative height, near is high, in standard deviations of the person, float32 [H,W], −4 to 4."""
        return self._picture("depth")

    @property
    def alpha(self) -> Floats:
        """The probability of the person, float32 [H,W], 0 to 1; sent as 8 bits."""
        return self._picture("alpha")

    @property
    def mask(self) -> Pixels:
        """The person, uint8 [H,W], 255 inside."""
        return self._picture("mask")

    @property
    def foreground(self) -> Pixels:
        """The untouched person over the gray background, sRGB, uint8 [H,W,3]."""
        return self._picture("foreground")

    @property
    def background(self) -> Pixels:
        """The photo with the person painted over in gray, sRGB, uint8 [H,W,3]."""
        return self._picture("background")

    @property
    def input(self) -> Pixels:
        """The photo itself, upright, sRGB, uint8 [H,W,3]."""
        return self._picture("input")

    def __repr__(self) -> str:
        lights = f"{len(self.lights)} light{'s' * (len(self.lights) != 1)}"
        info = self.info
        return (
            f"<Relit: {lights}, {info['width']} × {info['height']}, score {info['score']:.2f}: {', '.join(self.files)}>"
        )

    def pil(self, name: str = "output", k: int = 0) -> Any:
        """A PIL image to look at, RGB or L: the picture `name` under light `k`; maps have 8 bits."""
        pictures = self._each(name)
        if not -len(pictures) <= k < len(pictures):
            raise RelightError(f"there is no {name} {k}: k must be below {len(pictures)}")
        from PIL import Image  # which is there, as the files were decoded with it

        return Image.fromarray(viewable(name, pictures[k]))

    def to_torch(self, name: str = "output") -> Any:
        """A float32 tensor [K,3,H,W], 0 to 1; K is 1 for what a photo has once, and one channel is enough for a mask.

        `shading`, `normal` and `depth` keep the values and units of their properties. Raises RelightError without
        PyTorch.
        """
        try:
            import torch
        except ImportError as error:
            raise RelightError("PyTorch is missing, which to_torch needs; run `pip install torch`") from error
        pictures = self._each(name)
        if pictures.ndim == 3:
            pictures = pictures[..., None]
        tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, 1))).float()
        return tensor / 255 if name in (*COLOURS, "mask") else tensor

    def show(self) -> Any:
        """The pictures side by side, first those of the photo, as one PIL image; at most 32 of them."""
        from PIL import Image

        tiles = [Image.fromarray(tile) for tile, _ in zip(self._tiles(), range(_MOST_TILES), strict=False)]
        width, height = tiles[0].size
        size = (max(1, round(width * _TILE_HEIGHT / height)), _TILE_HEIGHT)
        across, down = min(len(tiles), _TILES_PER_ROW), -(-len(tiles) // _TILES_PER_ROW)
        strip = Image.new("RGB", (across * (size[0] + _GAP) - _GAP, down * (size[1] + _GAP) - _GAP), "white")
        for at, tile in enumerate(tiles):
            row, column = divmod(at, _TILES_PER_ROW)
            strip.paste(tile.convert("RGB").resize(size), (column * (size[0] + _GAP), row * (size[1] + _GAP)))
        return strip

    def _repr_png_(self) -> bytes:
        """What Jupyter shows of a cell's result."""
        stream = io.BytesIO()
        self.show().save(stream, "PNG")
        return stream.getvalue()

    def save(self, folder: str | os.PathLike[str], *, number: int = 0) -> Path:
        """Write the pictures and their metadata into a folder as run_csv does; return the path of the metadata.

        `number` begins the files' names, as in 00000_output.png and 00000_metadata.json. Raises RelightError.
        """
        row = Row(number, (), self.asked["image_path"])
        plan = Plan(pictures=tuple(self.files), variants=len(self.lights))
        metadata = {**self.info, **self.asked, "files_requested": plan.request(), "lights": self.lights}
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, content in row_files(row, Records(plan, ()), self.files, metadata).items():
                write_whole(Path(folder) / name, content)
        except OSError as error:
            raise RelightError(f"{error.filename} cannot be written ({error.strerror})") from error
        return Path(folder) / plan.metadata_name(row)

    def _tiles(self) -> Iterator[Pixels]:
        for name in sorted(self.pictures, key=lambda name: name in PER_LIGHT):
            yield from (viewable(name, picture) for picture in self._each(name))

    def _each(self, name: str) -> NDArray[Any]:
        """The picture under each light, [K,H,W,3] or [K,H,W]; K is 1 for what a photo has once."""
        picture = self._picture(name)
        return picture if name in PER_LIGHT else picture[None]

    def _picture(self, name: str) -> NDArray[Any]:
        if name not in self.pictures:
            raise RelightError(f"{name} was not asked for; add it to files")
        return self.pictures[name]

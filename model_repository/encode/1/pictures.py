"""One photo's arrays → each file of FILES."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backdrop import exposed, exposure, lay, over_gray, plane
from contract.files import Files, FilesError
from contract.light import BACKGROUNDS, LIGHT, NUMBERS, SCENE, SPACES, check_rows, position
from contract.names import PER_LIGHT, PICTURES
from cut import around_person, whole
from environment import encode_environment
from formats import encode_colours
from levels import Codes, codes_of
from maps import encode_alpha, encode_depth, encode_normal, encode_shading

Arrays = dict[str, npt.NDArray[Any]]
Job = Callable[[], bytes]
COLOURED = ("ORIGINAL", "OUTPUT_PIXELS", "DEGRADED_PIXELS", "ALBEDO_OUT", "BACKDROP_PIXELS")  # [..., H, W, 3]


class Pictures:
    """What can be written of one photo; nothing is computed before it is asked for."""

    def __init__(self, files: Files, arrays: Arrays) -> None:
        """`arrays` are encode's inputs without a batch dimension. Raises FilesError where they do not fit together."""
        check_shapes(arrays, len(files.planes))
        height, width = arrays["MASK"].shape
        is_cut = files.photo.crop == "person"
        self.files, self.cut = files, around_person(width, height, arrays["BOX"]) if is_cut else whole(width, height)
        # BACKDROP_PIXELS may be a single one.
        coloured = [name for name in COLOURED if arrays[name].shape[-3:-1] == (height, width)]
        shown = {name: self.cut.of_colours(arrays[name]) for name in coloured}
        self.arrays = arrays | shown | {"MASK": arrays["MASK"][self.cut.part]}
        self.photo, self.mask = self.arrays["ORIGINAL"], self.arrays["MASK"]
        self.gray, self.arithmetic, background = (
            read_whole(arrays[SCENE], name) for name in ("gray", "arithmetic", "background")
        )
        self.background = BACKGROUNDS[background]

    def jobs(self) -> dict[str, list[Job]]:
        """For every file that there is a job that makes its bytes, one for each picture or one; none if not wanted."""
        count = len(self.arrays[SCENE])
        makers: dict[str, Callable[[int], bytes]] = {
            "output": lambda index: encode_colours(self.files, "output", self._output(index)),
            "degraded": lambda index: encode_colours(self.files, "degraded", self._degraded(index)),
            "albedo": lambda _: encode_colours(self.files, "albedo", codes_of(self.arrays["ALBEDO_OUT"])),
            "shading": lambda index: encode_shading(self.files, self.arrays["SHADING"][index], self.cut),
            "environment": self._environment,
            "mask": lambda _: encode_colours(self.files, "mask", self.mask),
            "alpha": lambda _: encode_alpha(self.files, self.arrays["ALPHA"], self.cut),
            "normal": lambda _: encode_normal(self.files, self.arrays["NORMAL"], self.cut),
            "depth": lambda _: encode_depth(self.files, self.arrays["HEIGHT"], self.cut),
            "foreground": lambda _: self._over_gray("foreground", self.mask),
            "background": lambda _: self._over_gray("background", np.invert(self.mask)),
            "input": lambda _: encode_colours(self.files, "input", self._input()),
        }
        return {
            name: [
                partial(makers[name] if name in self.files.names else _nothing, index)
                for index in range(count if name in PER_LIGHT else 1)
            ]
            for name in PICTURES
        }

    def _degraded(self, index: int) -> Codes:
        return codes_of(self.arrays["DEGRADED_PIXELS"][index])

    def _output(self, index: int) -> Codes:
        """The relit person over the background; over gray `recombine` has laid it already."""
        if self.background == "gray":
            return codes_of(self.arrays["OUTPUT_PIXELS"][index])
        front = self._degraded(index)
        srgb = SPACES[self.arithmetic] == "srgb"
        if self.background == "photo":
            back = exposed(self.photo, exposure(self.photo, front, self.mask), front.dtype)
        elif self.background == "relit":
            back = plane(self.arrays["SHADING"][index], self.gray, self.cut, front.dtype, srgb=srgb)
        else:
            back = self.arrays["BACKDROP_PIXELS"]
            if back.shape != self.photo.shape:
                raise FilesError(f"BACKDROP_PIXELS is {_told(back.shape)} and the photo {_told(self.photo.shape)}.")
            if front.dtype != np.uint8:
                back = exposed(back, 1.0, front.dtype)
        return lay(front, back, self.mask, premultiplied=True, srgb=srgb)

    def _input(self) -> Codes:
        return self.photo if len(self.files.planes) == 1 else exposed(self.photo, 1.0, np.uint16)

    def _over_gray(self, name: str, mask: npt.NDArray[np.uint8]) -> bytes:
        dtype = np.uint8 if len(self.files.planes) == 1 else np.uint16
        return encode_colours(self.files, name, over_gray(self.photo, mask, self.gray, dtype))

    def _environment(self, index: int) -> bytes:
        sources, scene = self.arrays[LIGHT][index], self.arrays[SCENE][index]
        try:
            check_rows(LIGHT, sources.tolist(), len(sources) or 1)
            check_rows(SCENE, [scene.tolist()])
        except ValueError as error:
            raise FilesError(f"{error}.") from error
        return encode_environment(sources, scene)


def check_shapes(arrays: Arrays, planes: int) -> None:
    """Raise FilesError, a sentence, where the arrays of a photo are not of one size, number of pictures and depth."""
    height, width, _ = arrays["ORIGINAL"].shape
    count = len(arrays[SCENE])
    if not height * width:
        raise FilesError(f"ORIGINAL has no pixels, {_told(arrays['ORIGINAL'].shape)} for a photo.")
    if not count:
        raise FilesError("SCENE has no row: send one for every picture.")
    size = (height, width)
    wanted = {
        "MASK": size,
        "OUTPUT_PIXELS": (count, planes, *size, 3),
        "DEGRADED_PIXELS": (count, planes, *size, 3),
        "ALBEDO_OUT": (planes, *size, 3),
        "SHADING": (count, *arrays["SHADING"].shape[1:]),
        LIGHT: (count, *arrays[LIGHT].shape[1:]),
    }
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise FilesError(
                f"{name} is {_told(arrays[name].shape)} and must be {_told(shape)} for a photo of {width} x {height}, "
                f"{count} rows of SCENE and what FILES asks for."
            )


def read_whole(scene: npt.NDArray[np.float32], name: str) -> int:
    """A whole number of SCENE [K,32] that is the first picture's for all. Raises FilesError where it is none."""
    try:
        return round(NUMBERS[name].interval.check(float(scene[0, position(name)])))
    except ValueError as error:
        raise FilesError(f"SCENE's {name} {error}.") from error


def _nothing(_: int) -> bytes:
    return b""


def _told(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"

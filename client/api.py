"""Relighting from Python: a photo and lights in, arrays out. For notebooks and online use.

    from client import relight

    relit = relight("portrait.jpg", lights=[{"light_azimuth": 0, "pattern": "window"}], files=("output", "mask"))
    relit.output[0]  # uint8 [H,W,3]

Everything here is synchronous, so it works where an event loop already runs, as in Jupyter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.errors import RowError, UnreachableError
from client.input.backgrounds import PICTURE, PLAIN, Background, parse_backgrounds
from client.light.asked import Lights, asked_lights
from client.light.draw import light_seed
from client.light.environment import read_environments
from client.light.light import Light, check_patterns, light_tensors, server_patterns
from client.light.lighting import LIGHTING_FILE, read_lighting
from client.output.plan import Plan, parse_pictures
from client.triton.blocking import BlockingConnection
from client.triton.parts import PhotoParts, Templates
from client.triton.pixels import Pixels, bitmap, read_picture
from client.triton.request import MASK_THRESHOLD, PROMPT, SCORE_THRESHOLD, TIMEOUT, URL, Reply
from contract.limits import check_thresholds
from contract.names import PER_LIGHT

Photo = str | os.PathLike[str] | bytes | Pixels
Floats = NDArray[np.float32]


class RelightError(Exception):
    """The photo could not be relit; the message is one sentence with the reason and the remedy."""


@dataclass(frozen=True)
class Relit:
    """One photo relit by K lights. A picture that was not asked for raises RelightError when it is read."""

    pictures: Mapping[str, NDArray[Any]]  # by name
    lights: list[dict[str, Any]]  # K entries as metadata.json has them; each may be given to `relight` again
    info: dict[str, Any]  # score, box (xyxy, 0-1), count, residual, width, height, original, crop, models

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
    def input(self) -> Pixels:
        """The photo itself, upright, sRGB, uint8 [H,W,3]."""
        return self._picture("input")

    @property
    def background(self) -> Pixels:
        """The photo with the person painted over in gray, sRGB, uint8 [H,W,3]."""
        return self._picture("background")

    def _picture(self, name: str) -> NDArray[Any]:
        if name not in self.pictures:
            raise RelightError(f"{name} was not asked for; add it to files")
        return self.pictures[name]


class Relighter:
    """Relights photos over one connection, which closes at the end of a `with` block. Thread-safe."""

    def __init__(
        self,
        url: str = URL,
        *,
        lighting: str | os.PathLike[str] = LIGHTING_FILE,
        environments: str | os.PathLike[str] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Arguments are those of `relight`. Raises RelightError if a file of settings cannot be used."""
        try:
            self._lighting = read_lighting(Path(lighting))
            self._environments = () if environments is None else read_environments(os.fspath(environments))
        except ValueError as error:
            raise RelightError(str(error)) from error
        self._connection = BlockingConnection(url, timeout)

    def __enter__(self) -> Relighter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, as soon as no answer is missing."""
        self._connection.close()

    def __call__(
        self,
        photo: Photo,
        *,
        prompt: str = PROMPT,
        lights: Lights = None,
        background: Photo | None = None,
        seed: int = 0,
        files: str | Sequence[str] = ("output",),
        score_threshold: float = SCORE_THRESHOLD,
        mask_threshold: float = MASK_THRESHOLD,
    ) -> Relit:
        """Relight one photo. Arguments and errors are those of `relight`."""
        try:
            plan_files = parse_pictures(files if isinstance(files, str) else ",".join(files))
            if "environment" in plan_files:
                raise ValueError("the file environment is written by run_csv alone; leave it out of files")
            image, path = _read_photo(photo)
            chosen = asked_lights(lights, self._lighting, seed, path, self._environments)
            behind = _read_background(background, chosen[0], light_seed(seed, path, 0))
            if background is not None:
                chosen = [light.over(behind.kind, behind.name) for light in chosen]
            plan = Plan(pictures=plan_files, variants=len(chosen))
            thresholds = (score_threshold, mask_threshold)
            check_thresholds(thresholds)
            templates = Templates(thresholds, plan.request(), plan.pictures)
            reply = self._reply(PhotoParts(templates, image, prompt, light_tensors(chosen), behind.picture))
            patterns = server_patterns(reply.info)
            check_patterns(chosen, patterns)
            decoded = {name: [read_picture(name, file) for file in files] for name, files in reply.pictures.items()}
            pictures = {name: np.stack(all_k) if name in PER_LIGHT else all_k[0] for name, all_k in decoded.items()}
        except (ValueError, RowError, UnreachableError, ImportError) as error:
            raise RelightError(str(error)) from error
        return Relit(pictures, [light.named(patterns) for light in chosen], reply.info)

    def _reply(self, parts: PhotoParts) -> Reply:
        while True:
            try:
                answer = self._connection.infer(parts.request)
            except RowError as error:
                parts.refused(error)
                continue
            if (reply := parts.take(answer)) is not None:
                return reply


def relight(
    photo: Photo,
    *,
    prompt: str = PROMPT,
    lights: Lights = None,
    background: Photo | None = None,
    seed: int = 0,
    url: str = URL,
    files: str | Sequence[str] = ("output",),
    score_threshold: float = SCORE_THRESHOLD,
    mask_threshold: float = MASK_THRESHOLD,
    lighting: str | os.PathLike[str] = LIGHTING_FILE,
    environments: str | os.PathLike[str] | None = None,
    timeout: float = TIMEOUT,
) -> Relit:
    """Relight one photo on the server at `url`. For many photos, keep the connection: `with Relighter(url) as relight`.

    Args:
        photo: the path or the bytes of an image file, or its sRGB pixels, uint8 [H,W,3].
        prompt: whom to cut out.
        lights: None for one drawn light, K for K of them, or the lights. Each is a dict of fixed values by the names of
            the CSV's columns (`light_azimuth`, `pattern`, `setup`, `environment`, …; the rest is drawn), which may have
            `sources`, a list of dicts, for several exact sources; an entry of `lights` in metadata.json or an earlier
            result; a `Light`; or rows of LIGHT, float [L,16] or [16], and with the rest of the picture
            {"LIGHT": [L,16], "SCENE": [32]}. An array [K,16] is K lights of one source, [K,L,16] of several.
        background: `gray`, `photo`, `relit`, a picture in any form of a photo, or a folder of pictures, of which the
            seed chooses one. None for what the lights say, which is gray for those that are drawn.
        seed: draws the lights, together with the photo's path as given, so a CSV's row gets the same light. Bytes
            and pixels have no path: give each its own seed.
        url: the server's gRPC address, host:port.
        files: what to send back: output, degraded, shading, albedo, mask, alpha, normal, depth, foreground, background.
        score_threshold: lowest score of a detection, 0-1.
        mask_threshold: lowest mask value that counts as the person, 0-1.
        lighting: the file with the distributions that lights are drawn from.
        environments: a folder of .hdr and .exr maps to light the photo by, or `built-in`.
        timeout: seconds to wait for the answer.

    Raises RelightError: nothing was found, the photo or an argument cannot be used, or no server answers.
    """
    with Relighter(url, lighting=lighting, environments=environments, timeout=timeout) as relighter:
        return relighter(
            photo,
            prompt=prompt,
            lights=lights,
            background=background,
            seed=seed,
            files=files,
            score_threshold=score_threshold,
            mask_threshold=mask_threshold,
        )


def _read_photo(photo: Photo) -> tuple[bytes, str]:
    """The bytes of an image file, and its path or an empty text. Raises ValueError."""
    if isinstance(photo, bytes):
        return photo, ""
    if isinstance(photo, np.ndarray):
        return bitmap(photo), ""
    try:
        return Path(photo).read_bytes(), os.fspath(photo)
    except OSError as error:
        raise ValueError(f"the photo {os.fspath(photo)} cannot be read ({error.strerror})") from error


def _read_background(asked: Photo | None, light: Light, seed: str) -> Background:
    """The background that was asked for, else that of the first `light`. Raises ValueError, RowError."""
    if asked is None:
        if light.background == PICTURE:
            raise ValueError(f"the background of the lights is the picture {light.backdrop}; give it as background")
        return Background(light.background)
    if isinstance(asked, str | os.PathLike) and (os.fspath(asked) in PLAIN or Path(asked).is_dir()):
        return parse_backgrounds(os.fspath(asked)).choose(seed)
    picture, path = _read_photo(asked)
    return Background(PICTURE, path or None, picture)

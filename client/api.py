"""Relighting from Python: a photo and lights in, arrays out. For notebooks and online use.

    from client import relight

    relit = relight("portrait.jpg", lights=[{"light_azimuth": 0, "pattern": "window"}], files=("output", "mask"))
    relit.output[0]  # uint8 [H,W,3]

Everything here is synchronous, so it works where an event loop already runs, as in Jupyter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from client.errors import RelightError, RowError, UnreachableError
from client.input.backgrounds import PICTURE, PLAIN, Background, parse_backgrounds
from client.light.asked import Lights, asked_lights
from client.light.draw import light_seed
from client.light.environment import read_environments
from client.light.light import Light, check_patterns, light_tensors, server_patterns
from client.light.lighting import LIGHTING_FILE, read_lighting
from client.output.plan import Plan, parse_pictures
from client.relit import Relit
from client.triton.blocking import BlockingConnection
from client.triton.credentials import parse_header, read_tls
from client.triton.parts import PhotoParts, Templates
from client.triton.pixels import photo_file, read_picture
from client.triton.request import MASK_THRESHOLD, PROMPT, SCORE_THRESHOLD, TIMEOUT, URL, Reply
from contract.limits import check_thresholds
from contract.names import PER_LIGHT

Place = str | os.PathLike[str]
# A path; or an image file's bytes, a PIL image, or an array or torch tensor of sRGB values, as `photo_file` takes them.
Photo = Place | Any


class Relighter:
    """Relights photos over one connection, which closes at the end of a `with` block. Thread-safe."""

    def __init__(
        self,
        url: str = URL,
        *,
        lighting: Place = LIGHTING_FILE,
        environments: Place | None = None,
        timeout: float = TIMEOUT,
        tls: bool = False,
        ca: Place | None = None,
        cert: Place | None = None,
        key: Place | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Arguments are those of `relight`. Raises RelightError if a file of settings cannot be used."""
        try:
            self._lighting = read_lighting(Path(lighting))
            self._environments = () if environments is None else read_environments(os.fspath(environments))
            pems = [None if place is None else Path(place) for place in (ca, cert, key)]
            credentials = read_tls(*pems) if tls or any(pems) else None
            pairs = [parse_header(f"{name}:{value}") for name, value in (headers or {}).items()]
        except ValueError as error:
            raise RelightError(str(error)) from error
        self._connection = BlockingConnection(url, timeout, credentials, pairs)

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
        entries = [light.named(patterns) for light in chosen]
        asked = {"image_path": path, "prompt": prompt, "seed": seed}
        asked |= {"score_threshold": score_threshold, "mask_threshold": mask_threshold}
        return Relit(pictures, entries, reply.info, reply.pictures, asked)

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
    lighting: Place = LIGHTING_FILE,
    environments: Place | None = None,
    timeout: float = TIMEOUT,
    tls: bool = False,
    ca: Place | None = None,
    cert: Place | None = None,
    key: Place | None = None,
    headers: Mapping[str, str] | None = None,
) -> Relit:
    """Relight one photo on the server at `url`. For many photos, keep the connection: `with Relighter(url) as relight`.

    Args:
        photo: the path or the bytes of an image file, a PIL image, or an array or torch tensor of sRGB values, uint8 or
            floats from 0 to 1, [H,W,3] or [3,H,W].
        prompt: whom to cut out.
        lights: None for one drawn light, K for K of them, or the lights. Each is a dict of fixed values by the names of
            the CSV's columns (`light_azimuth`, `pattern`, `setup`, `environment`, …; the rest is drawn), which may have
            `sources`, a list of dicts, for several exact sources; an entry of `lights` in metadata.json or an earlier
            result; a `Light`; or rows of LIGHT, float [L,16] or [16], and with the rest of the picture
            {"LIGHT": [L,16], "SCENE": [32]}. An array [K,16] is K lights of one source, [K,L,16] of several.
        background: `gray`, `photo`, `relit`, a picture in any form of a photo, or a folder of pictures, of which the
            seed chooses one. None for what the lights say, which is gray for those that are drawn.
        seed: draws the lights, together with the photo's path as given, so a CSV's row gets the same light. A
            photo in memory has no path: give each its own seed.
        url: the server's gRPC address, host:port.
        files: what to send back, of the pictures that `Relit` has.
        score_threshold: lowest score of a detection, 0-1.
        mask_threshold: lowest mask value that counts as the person, 0-1.
        lighting: the file with the distributions that lights are drawn from.
        environments: a folder of .hdr and .exr maps to light the photo by, or `built-in`.
        timeout: seconds to wait for the answer.
        tls: whether to encrypt the connection; also where one of the next three is given.
        ca: a file of the CA certificates (PEM) that sign the server's; None for the public ones.
        cert: a file of the client's own certificate (PEM), where the server asks for one.
        key: a file of its private key (PEM), without a passphrase.
        headers: sent with each call, such as an API key.

    Raises RelightError: nothing was found, the photo or an argument cannot be used, or no server answers.
    """
    with Relighter(
        url,
        lighting=lighting,
        environments=environments,
        timeout=timeout,
        tls=tls,
        ca=ca,
        cert=cert,
        key=key,
        headers=headers,
    ) as relighter:
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
    if not isinstance(photo, str | os.PathLike):
        return photo_file(photo), ""
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

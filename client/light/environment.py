"""Environments that light a person from all around: read from a folder or built in, turned, and exposed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from client.light.distributions import SettingsError
from client.light.map_files import ENDINGS, digest_of, read_map
from client.light.radiance_map import LUMINANCE, Floats, project
from client.light.skies import SKIES
from client.light.spot import Spot as Spot
from client.light.spot import split
from contract.light import FACTOR

BUILT_IN = "built-in"
_DIGEST_DIGITS = 16
# The means of HARMONICS over the disc that the visible half of a sphere is in the picture.
_VISIBLE_MEANS = np.array([1, 0, 2 / 3, 0, 0, 0, 1 / 2, 0, 0])


@dataclass(frozen=True)
class Environment:
    """The light from all around, as coefficients of contract.light.HARMONICS per channel, float64 [9,3].

    Attributes:
        name: of the file without its ending, or of the built-in map.
        digest: hex, of the file's bytes or the built-in map's values.
        whole: the irradiance ÷ π of all of it.
        rest: the same without the spot.
        spot: its brightest spot as a source, None where nothing stands out.
    """

    name: str
    digest: str
    whole: Floats
    rest: Floats
    spot: Spot | None


def environment_of(name: str, digest: str, radiance: Floats) -> Environment:
    """The environment of a radiance map as radiance_map describes it."""
    spot, rest = split(radiance)
    return Environment(name, digest[:_DIGEST_DIGITS], project(radiance), project(rest), spot)


@cache
def built_in() -> tuple[Environment, ...]:
    """The environments that need no file: procedural skies and studios."""
    return tuple(
        environment_of(name, hashlib.sha256(_coarse(radiance)).hexdigest(), radiance)
        for name, radiance in ((name, draw()) for name, draw in SKIES.items())
    )


def _coarse(radiance: Floats) -> bytes:
    """Three digits of a map's values: the last ones of exp and cos are not the same on every machine."""
    return np.sqrt(radiance).astype("<f2").tobytes()  # the root of the sun is in float16's range


def read_environments(place: str) -> tuple[Environment, ...]:
    """The environments of a folder's .hdr and .exr files in the order of their names, or `built_in()` for BUILT_IN.

    Raises SettingsError, a sentence that names the file and the remedy.
    """
    if place == BUILT_IN:
        return built_in()
    try:
        files = [file for file in Path(place).iterdir() if file.suffix.lower() in ENDINGS and file.name[0] != "."]
    except OSError as error:
        raise SettingsError(
            f"the folder of environments {place} cannot be read ({error.strerror}); name a folder of .hdr or .exr"
            f" files, or the word {BUILT_IN}"
        ) from error
    if not files:
        raise SettingsError(f"{place} has no .hdr or .exr file; put environment maps there, or use {BUILT_IN}")
    files.sort(key=lambda file: (file.stem, file.suffix))
    for file, other in pairwise(files):
        if file.stem == other.stem:
            raise SettingsError(f"{other} has the name of {file.name}; rename one of the two")
    return tuple(environment_of(file.stem, digest_of(file), read_map(file)) for file in files)


def turned(environment: Environment, azimuth: float) -> Environment:
    """Turn an environment about the vertical axis, in degrees: what the camera looks at moves to its right."""
    s, c = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    spot = environment.spot
    if spot is not None:
        x, y, z = np.clip(rotation @ spot.direction, -1, 1).tolist()
        spot = replace(spot, direction=(x, y, z))
    whole, rest = (_rotated(irradiance, rotation) for irradiance in (environment.whole, environment.rest))
    return replace(environment, whole=whole, rest=rest, spot=spot)


def exposed(environment: Environment, exposure: float) -> Environment:
    """Scale an environment so that the visible half of a white sphere has `exposure` as its mean shading.

    That is the mean of the luminance of rest and spot over the sphere's disc in the picture, without cast shadows. The
    networks take a negative irradiance, which nine harmonics may give beside a strong light, as 0; this mean does not.
    Where a number would leave its range in contract.light, as with the sun straight behind, the scale is smaller.
    Raises ValueError for an environment without light.
    """
    brightest = float(environment.whole[0].max())
    if not brightest > 0:
        raise ValueError(f"the environment {environment.name} gives no light; leave it out")
    mean = float(LUMINANCE @ (_VISIBLE_MEANS @ environment.rest))
    spot = environment.spot
    if spot is not None:
        mean += _visible_mean(spot) * float(LUMINANCE @ spot.color)
        brightest = max(brightest, *spot.color)
    most = (1 - 1e-9) * FACTOR.high / brightest  # the other harmonics are then in their ranges as well
    scale = min(exposure / mean, most) if mean > 0 else most
    if spot is not None:
        red, green, blue = (scale * channel for channel in spot.color)
        spot = replace(spot, color=(red, green, blue))
    return replace(environment, whole=scale * environment.whole, rest=scale * environment.rest, spot=spot)


def _visible_mean(spot: Spot) -> float:
    """The mean of Lambert's cosine over the disc, 2/3 from the camera and 0 from behind (the sphere's phase law)."""
    z = min(max(spot.direction[2], -1.0), 1.0)
    angle = math.acos(z)
    return 2 / (3 * math.pi) * (math.sin(angle) + (math.pi - angle) * z)


def _rotated(irradiance: Floats, rotation: Floats) -> Floats:
    """The coefficients [9,3] of a function that is rotated by the matrix [3,3]: exact, as each order stays its own."""
    mean, y, z, x, xy, yz, zz, xz, xx = irradiance
    x, y, z = rotation @ np.stack([x, y, z])
    # The second order is a quadratic form without a trace: 3z² − 1 is 2z² − x² − y² on the unit sphere.
    rows = [[xx - zz, xy / 2, xz / 2], [xy / 2, -xx - zz, yz / 2], [xz / 2, yz / 2, 2 * zz]]
    form = np.einsum("ai,ijk,bj->abk", rotation, np.array(rows), rotation)
    second = [2 * form[0, 1], 2 * form[1, 2], form[2, 2] / 2, 2 * form[0, 2], (form[0, 0] - form[1, 1]) / 2]
    return np.stack([mean, y, z, x, *second])

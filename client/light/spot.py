"""Finds the brightest spot of a radiance map, such as the sun, a window or a lamp, and makes a source of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.light.radiance_map import LUMINANCE, Floats, Vector, directions, polynomials, project, solid_angles
from contract.light import NUMBERS

_LARGEST = np.radians(60)  # across: what is larger is part of the surroundings
_EDGE = 0.25  # of a spot's peak: what is darker no longer belongs to it
_STANDS_OUT = 2.0  # times the map's mean luminance: the least that the peak of a spot has
_LEAST_GAIN = 0.05  # of the irradiance on a surface that faces it: a spot that gives less is no source of its own
_MOST = 32  # candidates, the brightest first
_RING = 2  # pixels: how wide around a spot the level of its surroundings is taken


@dataclass(frozen=True)
class Spot:
    """A source that was part of an environment.

    Attributes:
        direction: x, y, z of the unit vector toward it, in the axes of contract.light.
        color: r, g, b, linear: its irradiance at normal incidence ÷ π, which a surface that faces it gains.
        size: degrees across, as of a disc of its solid angle.
    """

    direction: Vector
    color: Vector
    size: float


@dataclass(frozen=True)
class _Candidate:
    """A connected region (indices of pixels), its radiance above that of its surroundings [n,3], and its energy."""

    pixels: NDArray[np.intp]
    removed: Floats
    energy: float  # luminance × solid angle


def split(radiance: Floats) -> tuple[Spot | None, Floats]:
    """Take the brightest spot out of a map: the spot, and the map with the level of the surroundings in its place.

    The spot gives exactly what the map has lost. It is the region with the most energy, or the smallest one inside it
    that has at least half of that: the window and not its one brightest pixel, the sun and not the haze around it.
    None, and the map as it was, where nothing stands out.
    """
    candidates = _candidates(radiance)
    if not candidates:
        return None, radiance
    whole = max(candidates, key=lambda one: one.energy)
    parts = [one for one in candidates if one.energy >= whole.energy / 2 and np.isin(one.pixels[0], whole.pixels)]
    chosen = min(parts, key=lambda one: one.pixels.size)
    spot = _source(chosen, *radiance.shape[:2])
    if LUMINANCE @ spot.color < _LEAST_GAIN * (polynomials(spot.direction) @ project(radiance) @ LUMINANCE):
        return None, radiance
    rest = radiance.reshape(-1, 3).copy()
    rest[chosen.pixels] -= chosen.removed
    return spot, rest.reshape(radiance.shape)


def _candidates(radiance: Floats) -> list[_Candidate]:
    """Regions around the brightest pixels, up to the first that is too large: no darker one stands out."""
    height, width, _ = radiance.shape
    solid = np.repeat(solid_angles(height, width), width)
    luminance = _blurred(radiance @ LUMINANCE).ravel()
    least = _STANDS_OUT * (luminance @ solid) / (4 * np.pi)
    found: list[_Candidate] = []
    seeds = np.where(luminance >= least, luminance, 0)
    while len(found) < _MOST and (seed := int(seeds.argmax())) >= 0 and seeds[seed] > 0:
        region = _region(luminance >= _EDGE * luminance[seed], seed, solid, height, width)
        if region is None:
            break
        seeds[region] = 0
        region = np.concatenate([region, _grown(region, 1, height, width)])  # with its soft edge
        ring = _grown(region, _RING, height, width)
        pixels = radiance.reshape(-1, 3)
        removed = np.clip(pixels[region] - np.median(pixels[ring], 0), 0, None)
        found.append(_Candidate(region, removed, float(solid[region] @ removed @ LUMINANCE)))
    return [candidate for candidate in found if candidate.energy > 0]


def _source(candidate: _Candidate, height: int, width: int) -> Spot:
    """The source that gives what a candidate takes from the map."""
    solid = np.repeat(solid_angles(height, width), width)[candidate.pixels]
    toward = (solid * (candidate.removed @ LUMINANCE)) @ directions(height, width).reshape(-1, 3)[candidate.pixels]
    x, y, z = (toward / np.linalg.norm(toward)).tolist()
    red, green, blue = (solid @ candidate.removed / np.pi).tolist()
    # The solid angle over which that energy would be even; noise and soft edges matter little to it.
    levels = candidate.removed @ LUMINANCE
    effective = (solid @ levels) ** 2 / (solid @ levels**2)
    size = np.degrees(2 * np.arccos(1 - effective / (2 * np.pi)))
    return Spot((x, y, z), (red, green, blue), float(min(size, NUMBERS["angular_size"].interval.high)))


def _blurred(luminance: Floats) -> Floats:
    """Means over small squares: a single bright pixel of a large map counts little, a window's bars do not split it."""
    height, width = luminance.shape
    radius = max(1, width // 512)
    over_poles = np.roll(luminance, width // 2, axis=1)
    above, below = over_poles[:radius][::-1], over_poles[-radius:][::-1]
    padded = np.pad(np.concatenate([above, luminance, below]), [(0, 0), (radius, radius)], "wrap")
    side = 2 * radius + 1
    rows = np.sum([padded[shift : shift + height] for shift in range(side)], 0)
    blurred: Floats = np.sum([rows[:, shift : shift + width] for shift in range(side)], 0) / side**2
    return blurred


def _region(mask: NDArray[np.bool_], seed: int, solid: Floats, height: int, width: int) -> NDArray[np.intp] | None:
    """The pixels of `mask` that are connected with the pixel `seed`; None where they are larger than `_LARGEST`."""
    largest = 2 * np.pi * (1 - np.cos(_LARGEST / 2))
    free = mask.copy()
    free[seed] = False
    edge = np.array([seed])
    parts, angle = [edge], solid[seed]
    while edge.size and angle <= largest:
        near = _neighbours(edge, height, width)
        edge = np.unique(near[free[near]])
        free[edge] = False
        parts.append(edge)
        angle += solid[edge].sum()
    return np.concatenate(parts) if angle <= largest else None


def _grown(region: NDArray[np.intp], steps: int, height: int, width: int) -> NDArray[np.intp]:
    """The pixels at most `steps` from a region and not in it."""
    outside = np.ones(height * width, bool)
    outside[region] = False
    edge, parts = region, []
    for _ in range(steps):
        near = _neighbours(edge, height, width)
        edge = np.unique(near[outside[near]])
        outside[edge] = False
        parts.append(edge)
    return np.concatenate(parts)


def _neighbours(pixels: NDArray[np.intp], height: int, width: int) -> NDArray[np.intp]:
    """The eight pixels around each one; beyond a pole is the same row half a turn on."""
    rows, columns = np.divmod(pixels, width)
    rows = (rows + np.repeat([-1, 0, 1], 3)[:, None]).ravel()
    columns = (columns + np.tile([-1, 0, 1], 3)[:, None]).ravel()
    over_pole = (rows < 0) | (rows >= height)
    columns = (columns + over_pole * (width // 2)) % width
    near: NDArray[np.intp] = np.clip(rows, 0, height - 1) * width + columns
    return near

"""The built-in environments as formulas: skies of the CIE standard, and studios of smooth lamps in a dim room.

Skies are the CIE Standard General Sky (ISO 15469:2004 = CIE S 011/E:2003): the luminance in a direction is the product
of a gradation, by the angle from the zenith, and an indicatrix, by the angle from the sun. The standard has no colour:
sky, sun, walls and lamps have that of daylight or of a black body. The unit of a sky is the irradiance ÷ π of its dome
on the ground; that of a studio is the radiance of its walls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from client.light.radiance_map import LUMINANCE, Floats, directions, solid_angles

_HEIGHT, _WIDTH = 128, 256
_SOFT = 4 * np.pi / _WIDTH  # radians, two pixels: how wide the edge of a lamp is
# The standard's parameters of the gradation (a, b) and of the indicatrix (c, d, e), by the type's number there.
_OVERCAST = (4.0, -0.7, 0.0, -1.0, 0.0)  # 1: three times brighter above than at the horizon
_PARTLY_CLOUDY = (0.0, -1.0, 5.0, -2.5, 0.3)  # 7: even, brighter around the sun
_HAZY = (-1.0, -0.55, 10.0, -3.0, 0.45)  # 11: white-blue, with a corona around the sun
_CLEAR = (-1.0, -0.32, 10.0, -3.0, 0.45)  # 12: clear, with little haze
_POLLUTED = (-1.0, -0.32, 16.0, -3.0, 0.3)  # 13: clear, with much haze


def _direction(right: float, up: float) -> Floats:
    """The unit vector at degrees to the right of what the camera looks at, 180 from behind it, and degrees up."""
    phi, height = np.radians(right), np.radians(up)
    return np.array([np.cos(height) * np.sin(phi), -np.sin(height), -np.cos(height) * np.cos(phi)])


def _white(kelvin: float) -> Floats:
    """The linear Rec. 709 colour, with luminance 1, of daylight from 4000 to 25000 K, of a black body from 1667 K.

    Daylight is the D series of CIE 15:2004; the black body after Kim et al., "Design of advanced color temperature
    control system for HDTV applications", Journal of the Korean Physical Society 41, 2002.
    """
    t = 1000 / kelvin
    if kelvin >= 4000:
        x = np.polyval(
            [-2.0064, 1.9018, 0.24748, 0.237040] if kelvin > 7000 else [-4.6070, 2.9678, 0.09911, 0.244063], t
        )
        y = np.polyval([-3.000, 2.870, -0.275], x)
    else:
        x = np.polyval([-0.2661239, -0.2343589, 0.8776956, 0.179910], t)
        cubic = [-0.9549476, -1.37418593, 2.09137015, -0.16748867]
        y = np.polyval(cubic if kelvin > 2222 else [-1.1063814, -1.34811020, 2.18555832, -0.20219683], x)
    matrix = [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
    color: Floats = np.clip(np.array(matrix) @ [x / y, 1, (1 - x - y) / y], 0, None)
    color /= LUMINANCE @ color
    return color


def _step(distance: Floats) -> Floats:
    """1 inside (a negative distance in radians), 0 outside, smooth over `_SOFT`."""
    t = np.clip(0.5 - distance / _SOFT, 0, 1)
    smooth: Floats = t * t * (3 - 2 * t)
    return smooth


def _angles(center: Floats) -> Floats:
    """The angles from a direction, in radians, [H,W]."""
    angles: Floats = np.arccos(np.clip(directions(_HEIGHT, _WIDTH) @ center, -1, 1))
    return angles


def _rectangle(right: float, up: float, width: float, height: float) -> Floats:
    """A mask 0–1 of a rectangle that is `width` x `height` degrees large and faces the middle, [H,W]."""
    center = _direction(right, up)
    sideward = _direction(right + 90, 0)
    toward = directions(_HEIGHT, _WIDTH)
    depth = toward @ center
    across = np.abs(np.arctan2(toward @ sideward, depth)) - np.radians(width) / 2
    along = np.abs(np.arctan2(toward @ np.cross(center, sideward), depth)) - np.radians(height) / 2
    return _step(np.maximum(across, along))


def _sky(
    parameters: tuple[float, float, float, float, float],
    sun: Floats,
    colors: tuple[float, float],
    sunlight: float,
    ground: float = 0.2,
    glow: float = 0,
) -> Floats:
    """A sky over a ground with the albedo `ground`, and the sun.

    `colors` in kelvin are those of the sky and of the sun; `sunlight` is the sun's irradiance at normal incidence,
    relative to the dome's on the ground; `glow` is the share of the sun's colour in the sky close to it.
    """
    a, b, c, d, e = parameters
    height = -directions(_HEIGHT, _WIDTH)[..., 1]  # the cosine of the angle from the zenith
    from_sun = _angles(sun)
    gradation = 1 + a * np.exp(b / np.maximum(height, 0.01))
    indicatrix = 1 + c * (np.exp(d * from_sun) - np.exp(d * np.pi / 2)) + e * np.cos(from_sun) ** 2
    solid = solid_angles(_HEIGHT, _WIDTH)
    share = glow * np.exp(-2 * from_sun)[..., None]
    dome = (gradation * indicatrix * (height > 0))[..., None] * (
        share * _white(colors[1]) + (1 - share) * _white(colors[0])
    )
    dome *= np.pi / (dome @ LUMINANCE * height * solid).sum()
    sunshine = sunlight * _white(colors[1])
    light = ((dome * height[..., None] * solid[..., None]).sum((0, 1))) / np.pi - sunshine * min(0, sun[1])
    earth: Floats = (height <= 0)[..., None] * ground * light * [1.1, 1.0, 0.8]
    sky: Floats = dome + earth
    row, column = np.unravel_index(from_sun.argmin(), from_sun.shape)
    sky[row, column] += sunshine * np.pi / solid[row, 0]  # one pixel, with all of the sun's light
    return sky


def _room(kelvin: float, *lamps: Floats) -> Floats:
    """Walls of luminance 1 in the light of `kelvin`, darker below and lighter above, and lamps [H,W,3] before them."""
    height = -directions(_HEIGHT, _WIDTH)[..., 1]
    room: Floats = (1 + 0.6 * np.tanh(2 * height))[..., None] * _white(kelvin) + sum(lamps)
    return room


def _ring(center: Floats, inner: float, outer: float) -> Floats:
    """A mask 0–1 of what is between two angles from a direction, in degrees, [H,W]."""
    angles = _angles(center)
    return _step(angles - np.radians(outer)) * _step(np.radians(inner) - angles)


def _lamp(mask: Floats, luminance: float, kelvin: float) -> Floats:
    """A lamp [H,W,3] where the mask [H,W] is 1."""
    return mask[..., None] * luminance * _white(kelvin)


_PINK, _CYAN = np.array([3.2, 0.25, 1.9]), np.array([0.1, 1.0, 1.6])
SKIES: Mapping[str, Callable[[], Floats]] = {
    "clear_noon": lambda: _sky(_CLEAR, _direction(140, 60), (13000, 5600), 6),
    "low_sun": lambda: _sky(_POLLUTED, _direction(125, 9), (10000, 2700), 3, glow=0.8),
    "sun_behind": lambda: _sky(_HAZY, _direction(25, 16), (8500, 3300), 3.5, glow=0.6),
    "veiled_sun": lambda: _sky(_PARTLY_CLOUDY, _direction(-130, 40), (7000, 5200), 0.8, glow=0.5),
    "overcast": lambda: _sky(_OVERCAST, _direction(180, 50), (6800, 5600), 0),
    "softbox_left": lambda: _room(5000, _lamp(_rectangle(-135, 30, 42, 56), 28, 5600)),
    "two_strips": lambda: _room(
        5000, _lamp(_rectangle(110, 5, 12, 80), 45, 5600), _lamp(_rectangle(-110, 5, 12, 80), 30, 5600)
    ),
    "ring_light": lambda: _room(5000, _lamp(_ring(_direction(180, 0), 9, 15), 70, 5600)),
    "window_room": lambda: _room(4000, _lamp(_rectangle(-112, 12, 42, 50), 22, 7000)),
    "neon": lambda: _room(
        9000, 22 * _rectangle(-115, 8, 10, 70)[..., None] * _PINK, 30 * _rectangle(105, 0, 10, 70)[..., None] * _CYAN
    ),
}

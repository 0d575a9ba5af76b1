"""Draws the pictures of docs/lighting.md through the real server: `python -m docs.pictures` writes docs/lighting/*.jpg.

The light of each is drawn from client/light/lighting.toml with the keys of BASE and its own changed.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from client import Relighter
from client.light.draw import draw_light
from client.light.environment import built_in
from client.light.light import Light
from client.light.lighting import LIGHTING_FILE, read_lighting
from contract.command import run
from contract.light import PATTERNS
from demo import HEADS
from server.derive import this_machine
from server.embedded import Options, embedded_server
from server.installation import ServerError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SAMPLES, PAGE = ROOT / "samples", ROOT / "docs" / "lighting"
EILEEN, GRACE = "astronaut.png", "grace_hopper.jpg"
BEHIND = {"photo": "photo", "relit": "relit", "a picture": str(SAMPLES / "coffee.png")}  # backgrounds by their labels
SEED = "0123456789abcdef"  # of what is drawn

CELL, GAP, ROW = 128, 8, 6  # width of a picture and of the paper between two, in pixels; pictures in a row
TITLE, LABEL = 28, 22  # heights of the texts above and below a picture
PAPER, INK = "#f7f7f5", "#222222"

Keys = Mapping[str, Any]  # of a lighting file, `section.key`, with the values that TOML would give
Cell = tuple[str, Image.Image]  # a picture and what stands below it
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

BASE: Keys = {
    **{"setup.weights": {"key": 1}, "light.azimuth": 225, "light.elevation": 40, "light.ambient": 0.2},
    **{"light.size": 10, "pattern.probability": 0, "albedo_blend": 0.2},
    **{"environment.azimuth": 0, "environment.exposure": 0.8, "environment.split": 0},
}
DARK: Keys = {"light.ambient": 0.05}
SHINY: Keys = {"light.specular": 0.4}
STEEP: Keys = {**DARK, "light.azimuth": 250, "light.elevation": 30}
FILLED: Keys = {**DARK, "setup.weights": {"key_fill": 1}, "fill.azimuth": 0}
RIMMED: Keys = {**DARK, "setup.weights": {"key_rim": 1}, "rim.azimuth": 0, "rim.elevation": -40, "rim.intensity": 1}
SPLIT: Keys = {"environment.split": 1}
BLINDS: Keys = {"pattern.probability": 1, "pattern.weights": {"venetian_blinds": 1}, "light.ambient": 0.4}
LEAVES: Keys = {**BLINDS, "pattern.weights": {"tree_foliage": 1}}


@dataclass(frozen=True)
class Shot:
    """One picture: what stands below it, and the keys, environment, background and seed of its light."""

    label: str
    keys: Keys
    environment: str = ""
    background: str = "gray"
    seed: str = SEED


@dataclass(frozen=True)
class Group:
    """Pictures beside each other that differ in what the title names."""

    title: str
    shots: Sequence[Shot]


def read_defaults() -> dict[str, Any]:
    """Read lighting.toml as keys, those of a section with its name before them."""
    found: dict[str, Any] = {}
    for name, value in tomllib.loads(LIGHTING_FILE.read_text("utf-8")).items():
        found |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return found


DEFAULTS = read_defaults()


def over(key: str, *values: Any, unit: str = "", keys: Keys = BASE, environment: str = "") -> Group:
    """Pictures with several values of a key: those given, or the lowest, middle and highest that are drawn."""
    if not values:
        low, high = DEFAULTS[key]
        values = (low, (low + high) / 2, high)
    labels = [value if isinstance(value, str) else f"{value:.3g}{unit}" for value in values]
    title = f"{key}, {environment}" if environment else key
    return Group(
        title, [Shot(label, {**keys, key: one}, environment) for label, one in zip(labels, values, strict=True)]
    )


def each(key: str, names: Sequence[str], keys: Keys) -> Group:
    """Pictures with each choice of a table of weights."""
    return Group(key, [Shot(name.replace("_", " "), {**keys, key: {name: 1}}) for name in names])


STRIPS: Mapping[str, Sequence[Group]] = {
    "direction": [
        over("light.azimuth", 0, 60, 120, 180, 240, 300, unit="°", keys=STEEP),
        over("light.elevation", -20, 10, 30, 45, 60, 80, unit="°", keys=DARK),
    ],
    "ambient": [over("light.ambient", 0, 0.1, 0.32, 0.5, 0.69, 1), over("light.relief", 0, 0.5, 1, 1.5, 2, 4)],
    "shadows": [
        over("light.size", keys=STEEP, unit="°"),
        over("light.cast", 0, 0.5, 1, keys=STEEP),
        over("fill.size", keys=FILLED, unit="°"),
        over("rim.size", keys=RIMMED, unit="°"),
    ],
    "surface": [
        over("light.specular", 0, 0.1, 0.4),
        over("light.shininess", 8, 32, 128, keys=SHINY),
        over("light.color", "#ffffff", "#ffd6ad", "#d6e4ff", "#ff8040"),
        over("space", "linear", "srgb"),
    ],
    "setup": [each("setup.weights", tuple(DEFAULTS["setup.weights"]), DARK)],
    "fill": [
        over("fill.intensity", keys=FILLED),
        over("fill.azimuth", unit="°", keys=FILLED),
        over("fill.elevation", unit="°", keys=FILLED),
        over("fill.color", *DEFAULTS["fill.color"], keys=FILLED),
    ],
    "rim": [
        over("rim.intensity", keys=RIMMED),
        over("rim.azimuth", unit="°", keys=RIMMED),
        over("rim.elevation", unit="°", keys=RIMMED),
        over("rim.color", *DEFAULTS["rim.color"], keys=RIMMED),
    ],
    "patterns": [each("pattern.weights", PATTERNS, BLINDS)],
    "pattern": [
        over("pattern.opacity", keys=BLINDS),
        over("pattern.blur", keys=BLINDS),
        over("pattern.ambient", 0, 0.5, 1, keys=LEAVES),
        Group("the seed", [Shot(f"{one}", LEAVES, seed=f"{one:016x}") for one in (1, 2, 3)]),
    ],
    "environments": [
        Group("--environments built-in", [Shot(one.name.replace("_", " "), {}, one.name) for one in built_in()]),
    ],
    "environment": [
        over("environment.azimuth", 0, 90, 180, unit="°", environment="low_sun"),
        over("environment.exposure", environment="low_sun"),
        *(over("environment.split", 0, 1, environment=name) for name in ("low_sun", "clear_noon", "softbox_left")),
    ],
    "background": [
        over("gray", 64, 128, 192),
        Group("--background, low_sun", [Shot(label, SPLIT, "low_sun", asked) for label, asked in BEHIND.items()]),
    ],
    "albedo": [over("albedo_blend", 0, 0.15, 0.25, 1)],
}
OF_GRACE = ("environments", "environment", "albedo")  # the other strips are of Eileen


def main() -> int:
    """Write every strip; return 0, or 1 when there is no server."""
    options = Options(ROOT / "model_repository", this_machine(gpus=0), grpc_port=0, http_port=0, metrics_port=0)
    PAGE.mkdir(exist_ok=True)
    try:
        with embedded_server(options) as server, Relighter(server.grpc_url) as relight:
            draw_all(relight)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def draw_all(relight: Relighter) -> None:
    """Write every strip."""
    for name, groups in STRIPS.items():
        photo = GRACE if name in OF_GRACE else EILEEN
        shots = {group.title: [(one.label, take(relight, photo, one)) for one in group.shots] for group in groups}
        save(name, draw_groups(shots))
    save("maps", draw_groups({"the files of one photo": list(draw_maps(relight))}))
    save("instructions", draw_instructions(relight))


def light_of(shot: Shot) -> Light:
    """Draw a picture's light from a lighting file of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write("\n".join(toml_lines({**DEFAULTS, **BASE, **shot.keys})))
        file.flush()
        lighting = read_lighting(file.name)
    return draw_light(lighting, shot.seed, environments=[one for one in built_in() if one.name == shot.environment])


def toml_lines(keys: Keys) -> Iterator[str]:
    """The lines of a TOML file: dotted keys, and values as JSON writes them."""
    for key, value in keys.items():
        if isinstance(value, Mapping):
            yield from toml_lines({f"{key}.{inner}": one for inner, one in value.items()})
        else:
            yield f"{key} = {json.dumps(value)}"


def take(relight: Relighter, photo: str, shot: Shot, width: int = CELL) -> Image.Image:
    """Relight a sample and cut out the head."""
    return cut(relight(SAMPLES / photo, lights=light_of(shot), background=shot.background).output[0], photo, width)


def draw_maps(relight: Relighter) -> Iterator[Cell]:
    """The files that come with a photo, as levels that can be looked at."""
    names = ("albedo", "mask", "alpha", "normal", "depth", "shading")
    relit = relight(SAMPLES / EILEEN, lights=light_of(Shot("", DARK)), files=names)
    depth = (relit.depth - relit.depth.min()) / np.ptp(relit.depth)
    shown = {
        **{"albedo": relit.albedo, "mask": relit.mask, "alpha": levels(relit.alpha)},
        **{"normal": levels((relit.normal + 1) / 2), "depth": levels(depth)},
        "shading": levels(as_srgb(relit.shading[0])),
    }
    return ((name, cut(pixels, EILEEN)) for name, pixels in shown.items())


def draw_instructions(relight: Relighter) -> Image.Image:
    """Three lights as they are drawn without any change, each with what its metadata says of it."""
    width, font = 2 * CELL + GAP, ImageFont.load_default(14)
    strip = Image.new("RGB", (left(ROW), width + 130), PAPER)
    shots = (Shot("", DEFAULTS, seed="2" * 16), Shot("", DEFAULTS, "low_sun", "relit"), Shot("", DEFAULTS, "neon"))
    for place, shot in enumerate(shots):
        picture = take(relight, EILEEN, shot, width)
        strip.paste(picture, (left(2 * place), GAP))
        text = "\n".join(wrap(light_of(shot).over(shot.background).named()["instruction"], 38))
        ImageDraw.Draw(strip).multiline_text((left(2 * place), picture.height + 2 * GAP), text, INK, font)
    return strip


def draw_groups(groups: Mapping[str, Sequence[Cell]]) -> Image.Image:
    """Lay out groups of pictures, each with its title, side by side as far as there is room."""
    rows: list[list[tuple[str, str, Image.Image]]] = [[]]
    for title, cells in groups.items():
        if len(rows[-1]) + len(cells) > ROW and rows[-1]:
            rows.append([])
        for place, (label, picture) in enumerate(cells):
            if len(rows[-1]) == ROW:
                rows.append([])
            rows[-1].append(("" if place else title, label, picture))
    height = TITLE + rows[0][0][2].height + LABEL
    strip = Image.new("RGB", (left(ROW), height * len(rows)), PAPER)
    draw, large, small = ImageDraw.Draw(strip), ImageFont.load_default(16), ImageFont.load_default(14)
    for number, row in enumerate(rows):
        for column, (title, label, picture) in enumerate(row):
            x, y = left(column), number * height
            draw.text((x, y + 5), title, INK, large)
            strip.paste(picture, (x, y + TITLE))
            draw.text((x + CELL // 2, y + TITLE + picture.height + 3), label, INK, small, anchor="ma")
    return strip


def cut(pixels: Pixels, photo: str, width: int = CELL) -> Image.Image:
    """Cut the head out of a picture [H,W] or [H,W,3] and scale it."""
    height, across = pixels.shape[:2]
    west, north, east, south = (share * side for share, side in zip(HEADS[photo], (across, height) * 2, strict=True))
    size = (width, round(width * (south - north) / (east - west)))
    image = Image.fromarray(pixels).convert("RGB")
    return image.resize(size, Image.Resampling.LANCZOS, (west, north, east, south))


def levels(values: Floats) -> Pixels:
    """Numbers from 0 to 1 as levels."""
    found: Pixels = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    return found


def as_srgb(linear: Floats) -> Floats:
    """Linear values from 0 to 1 as sRGB's (IEC 61966-2-1)."""
    encoded: Floats = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded


def left(column: int) -> int:
    """Where a column begins, in pixels."""
    return GAP + column * (CELL + GAP)


def save(name: str, strip: Image.Image) -> None:
    """Write one strip."""
    file = PAGE / f"{name}.jpg"
    strip.save(file, quality=68, optimize=True, progressive=True)
    print(f"{file.relative_to(ROOT)}  {file.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    run(main)

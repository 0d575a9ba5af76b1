"""The light of one picture: its sources and the rest that shapes it, and their names in its metadata."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.light.instruction import Phrases, describe
from client.light.values import NO_PATTERN
from contract.light import (
    BACKGROUNDS,
    CHANNELS,
    HARMONICS,
    LIGHT,
    NUMBERS,
    PATTERNS,
    SCENE,
    SENT,
    SPACES,
    WIDTHS,
    check_rows,
    position,
    row_of,
)
from contract.limits import missing_pattern

KINDS = ("key", "fill", "rim", "sun")  # of sources; a sun is the brightest spot of an environment
SOURCE_NAMES = tuple(number.name for number in SENT if number.tensor == LIGHT)
SCENE_NAMES = tuple(number.name for number in SENT if number.tensor == SCENE)
_COEFFICIENTS = len(HARMONICS) * len(CHANNELS)
# Those that an entry of the metadata has under their own names.
PLAIN_NAMES = tuple(name for name in SCENE_NAMES[_COEFFICIENTS:] if name != "background")
_ABSENT = row_of(LIGHT, {"intensity": 0})


@dataclass(frozen=True)
class Source:
    """One source of light: a row of LIGHT."""

    kind: str  # of KINDS
    values: tuple[float, ...]  # in the order of SOURCE_NAMES, each the shortest text of its float32
    pattern: str = ""  # the pattern's name, if it was requested by name

    @property
    def numbers(self) -> dict[str, float]:
        """The values by name."""
        return dict(zip(SOURCE_NAMES, self.values, strict=True))

    @property
    def pattern_id(self) -> int:
        """0 is none."""
        return round(self.numbers["pattern_id"])

    @property
    def azimuth(self) -> float:
        """Degrees, 0 up to 360: 0 from the right, 90 from below."""
        x, y, _ = self.values[:3]
        return round(math.degrees(math.atan2(y, x)) % 360, 4) % 360

    @property
    def elevation(self) -> float:
        """Degrees in front of the picture's plane, −90 to 90."""
        x, y, z = self.values[:3]
        return round(math.degrees(math.atan2(z, math.hypot(x, y))), 4)

    def named(self, patterns: Sequence[str]) -> dict[str, Any]:
        """The entry of `sources` in the metadata; `patterns` are the names of patterns by id from 1."""
        return {
            "kind": self.kind,
            "azimuth": self.azimuth,
            "elevation": self.elevation,
            "pattern": pattern_name(self.pattern_id, patterns),
            **self.numbers,
        }


@dataclass(frozen=True)
class Scenery:
    """How an environment lights a picture."""

    name: str
    azimuth: float  # degrees that it is turned by, 0 up to 360
    exposure: float  # the mean shading of the visible half of a white sphere
    split: bool  # whether its brightest spot is a source of its own


@dataclass(frozen=True)
class Light:
    """The light of one picture: rows of LIGHT, a row of SCENE, and where they come from."""

    seed: str | None  # 16 hexadecimal digits; None if the light was not drawn
    sources: tuple[Source, ...]  # the key light first; none where the environment is all
    scene: tuple[float, ...]  # in the order of SCENE_NAMES, each the shortest text of its float32
    ambient: float | None = None  # linear, of the key's colour, from all around; None where the irradiance is no such
    environment: Scenery | None = None
    backdrop: str | None = None  # the name of the picture behind the person

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of SCENE by name."""
        return dict(zip(SCENE_NAMES, self.scene, strict=True))

    @property
    def space(self) -> str:
        """Whether the light multiplies `linear` or `srgb` values."""
        return SPACES[round(self.numbers["arithmetic"])]

    @property
    def background(self) -> str:
        """What is behind the person, of BACKGROUNDS."""
        return BACKGROUNDS[round(self.numbers["background"])]

    def over(self, background: str, backdrop: str | None = None) -> Light:
        """The same light over another background, of BACKGROUNDS; `backdrop` names its picture."""
        numbers = self.numbers | {"background": float(BACKGROUNDS.index(background))}
        return replace(self, scene=tuple(numbers.values()), backdrop=backdrop)

    def named(self, patterns: Sequence[str] | None = None, phrases: Phrases | None = None) -> dict[str, Any]:
        """The entry of `lights` in the metadata: every number by name, and the light in words.

        `patterns` are the server's own names of its patterns, by id from 1; `phrases` what the words are made of, by
        default those of the instructions file that ships with the project.
        """
        numbers = self.numbers
        entry = {
            "seed": self.seed,
            "space": self.space,
            "environment": asdict(self.environment) if self.environment else None,
            "sources": [source.named(PATTERNS if patterns is None else patterns) for source in self.sources],
            **({} if self.ambient is None else {"ambient": self.ambient}),
            "irradiance": [list(self.scene[at : at + len(CHANNELS)]) for at in range(0, _COEFFICIENTS, len(CHANNELS))],
            **{name: numbers[name] for name in PLAIN_NAMES},
            "background": self.background,
            "backdrop": self.backdrop,
        }
        seed = self.seed or hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]
        words = describe(entry, seed, phrases=phrases)
        return entry | {"instruction": words[0], "instructions": words}


def source_of(kind: str, numbers: Mapping[str, float], pattern: str = "") -> Source:
    """Make a source from numbers named as in SOURCE_NAMES; what is left out has the contract's default."""
    return Source(kind, _values(SOURCE_NAMES, numbers), pattern)


def light_of(
    seed: str | None,
    sources: Sequence[Source],
    numbers: Mapping[str, float],
    *,
    ambient: float | None = None,
    environment: Scenery | None = None,
) -> Light:
    """Make a light; `numbers` are those of SCENE_NAMES, else their defaults. Raises ValueError with a sentence."""
    light = Light(seed, tuple(sources), _values(SCENE_NAMES, numbers), ambient, environment)
    check_light(light)
    return light


def check_light(light: Light) -> None:
    """Raise ValueError, a sentence, where a number is none that a light can have."""
    check_rows(LIGHT, [row_of(LIGHT, source.numbers) for source in light.sources], max(1, len(light.sources)))
    check_rows(SCENE, [row_of(SCENE, light.numbers)])


def light_of_rows(rows: Sequence[Any] | NDArray[Any], scene: Sequence[float] | NDArray[Any] | None = None) -> Light:
    """Make a light from LIGHT, one row [16] or several [L,16], and SCENE [32], whose default is no environment.

    Sources of intensity 0 are left out. Raises ValueError with a sentence.
    """
    light = np.atleast_2d(np.asarray(rows, np.float32))
    below = np.asarray(row_of(SCENE, {}) if scene is None else scene, np.float32)
    if light.ndim != 2 or light.shape[1] != WIDTHS[LIGHT] or below.shape != (WIDTHS[SCENE],):
        raise ValueError(
            f"a light is a row of LIGHT, {WIDTHS[LIGHT]} numbers, several such rows, or both tensors: "
            f'{{"LIGHT": [L,{WIDTHS[LIGHT]}], "SCENE": [{WIDTHS[SCENE]}]}}'
        )
    check_rows(LIGHT, light.tolist(), len(light))
    check_rows(SCENE, [below.tolist()])
    present = [row for row in light if row[position("intensity")] != 0]
    sources = [
        source_of("fill" if k else "key", {name: row[position(name)] for name in SOURCE_NAMES})
        for k, row in enumerate(present)
    ]
    numbers = {name: below[position(name)] for name in SCENE_NAMES}
    return light_of(None, sources, numbers, ambient=None if below[:_COEFFICIENTS].any() else 0.0)


def named_light(entry: Mapping[str, Any]) -> Light:
    """The light of an entry of `lights` in metadata.json or of a dataset's record. Raises ValueError, a sentence."""
    try:
        coefficients = [number for harmonic in entry["irradiance"] for number in harmonic]
        numbers = {
            **dict(zip(SCENE_NAMES[:_COEFFICIENTS], coefficients, strict=True)),
            **{name: entry[name] for name in PLAIN_NAMES},
            "background": BACKGROUNDS.index(entry["background"]),
        }
        present = [one for one in entry["sources"] if one["kind"]]
        sources = [Source(one["kind"], _values(SOURCE_NAMES, one, complete=True)) for one in present]
        # In a dataset's record what is not there has an empty name.
        scenery = Scenery(**entry["environment"]) if (entry["environment"] or {}).get("name") else None
        ambient = None if scenery else entry.get("ambient")
        light = light_of(entry["seed"] or None, sources, numbers, ambient=ambient, environment=scenery)
        return replace(light, backdrop=entry["backdrop"] or None)
    except KeyError as error:
        raise ValueError(f"the light lacks {error}; give its entry as metadata.json has it") from error
    except TypeError as error:
        raise ValueError(f"the light is no entry of metadata.json ({error})") from error


def light_tensors(lights: Sequence[Light], sources: int = 1) -> dict[str, NDArray[np.float32]]:
    """LIGHT [1,K,L,16] and SCENE [1,K,32] of the ensemble, float32; L is `sources`, or more where a light has more.

    Sources that a light has not are absent ones. Raises ValueError if the lights differ in space or background, which
    the server has once for a photo.
    """
    if len({light.space for light in lights}) > 1:
        raise ValueError("the lights of one photo must share their space, linear or srgb")
    if len({(light.background, light.backdrop) for light in lights}) > 1:
        raise ValueError("the lights of one photo must share their background")
    most = max(sources, *(len(light.sources) for light in lights))
    rows = [
        [row_of(LIGHT, source.numbers) for source in light.sources] + [_ABSENT] * (most - len(light.sources))
        for light in lights
    ]
    scenes = [row_of(SCENE, light.numbers) for light in lights]
    return {LIGHT: np.array([rows], np.float32), SCENE: np.array([scenes], np.float32)}


def pattern_name(number: int, names: Sequence[str]) -> str:
    """The name of pattern `number`: `none` for 0, the number itself if it has no name."""
    return NO_PATTERN.name if number == 0 else names[number - 1] if number <= len(names) else str(number)


def server_patterns(info: Mapping[str, Any]) -> list[str] | None:
    """The names of the server's patterns by id from 1, read from INFO; None if it lacks them."""
    names: list[str] | None = info.get("models", {}).get("shadow", {}).get("patterns")
    return names


def check_patterns(lights: Sequence[Light], names: Sequence[str] | None) -> None:
    """Raise ValueError if a light asks for a pattern that is not among the server's `names`.

    A name must mean the same pattern on both sides, because a server may have been exported with other materials.
    """
    if names is None:
        return
    for source in _all_sources(lights):
        number = source.pattern_id
        missing = number > len(names) or (number and source.pattern and names[number - 1] != source.pattern)
        if missing:
            label = f"{number} ({source.pattern})" if source.pattern else f"{number}"
            raise ValueError(missing_pattern(label, names))


def _all_sources(lights: Sequence[Light]) -> Iterator[Source]:
    for light in lights:
        yield from light.sources


def _values(names: Sequence[str], numbers: Mapping[str, float], *, complete: bool = False) -> tuple[float, ...]:
    """Numbers in the order of `names`; those not given have their defaults, unless they must be `complete`."""
    given = [numbers[name] if complete else numbers.get(name, NUMBERS[name].default) for name in names]
    # JSON of float32 stays short. Most numbers are 0, which needs no text.
    return tuple(float(str(np.float32(number))) if number != 0 else 0.0 for number in given)

"""What there is to say of a picture's light: facts from its numbers, each with the texts that say it."""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from client.light.phrases import Phrases, Words
from contract.light import CHANNELS

_GAMMA = 2.2  # of sRGB, near enough for words
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear red, green and blue, Rec. 709

Rgb = tuple[float, ...]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Fact:
    """One thing to say: texts that say it, and the words of their slots."""

    texts: Words
    slots: Mapping[str, Words] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """All that a picture's sentences say."""

    light: tuple[Fact, ...]
    effects: tuple[Fact, ...]
    environment: Fact
    background: Fact


def facts_of(entry: Mapping[str, Any], phrases: Phrases) -> Facts:
    """The facts of an entry of `lights` in metadata.json."""
    shade = phrases.words("picture.shade", gray=entry["gray"])
    background = Fact(phrases.named["background"][entry["background"]], {"shade": shade})
    environment, outdoors = _environment(entry["environment"], phrases)
    picture = _Picture.of(entry)
    if darkness := phrases.words("picture.darkness", level=picture.level):
        return Facts((Fact(darkness),), (), environment, background)
    light = [_source(source, power, outdoors, picture, phrases) for source, power in picture.sources]
    effects = [fact for source, _ in picture.sources for fact in _pattern(source, phrases)]
    return Facts(
        light=_distinct([*light, _ambient_light(picture, phrases)]),
        effects=_distinct([*effects, *_overall(picture, phrases)]),
        environment=environment,
        background=background,
    )


@dataclass(frozen=True)
class _Picture:
    """What shapes one picture, and how much of it there is."""

    sources: tuple[tuple[Mapping[str, Any], float], ...]  # each with its luminance, above 0
    ambient: _Ambient
    gamma: float  # makes linear light of sums and shares, so that a threshold is the same in both spaces

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Picture:
        """Of an entry of `lights`."""
        powers = [(source, _luminance(_color(source)) * source["intensity"]) for source in entry["sources"]]
        gamma = _GAMMA if entry["space"] == "srgb" else 1.0
        return cls(tuple(one for one in powers if one[1] > 0), _Ambient.of(entry["irradiance"]), gamma)

    @property
    def level(self) -> float:
        """The mean on the visible half of a white sphere: of a source at elevation e it is (1 + sin e) / 4."""
        facing = (power * (1 + math.sin(math.radians(source["elevation"]))) / 4 for source, power in self.sources)
        return float(max(0.0, self.ambient.level + sum(facing)) ** self.gamma)

    def relative(self, power: float) -> float:
        """A source's luminance as a share of the brightest one's."""
        return float((power / max(each for _, each in self.sources)) ** self.gamma)

    def share(self, power: float) -> float:
        """A luminance as a share of the brightest light that a surface could get, from everything at once."""
        most = self.ambient.mean + self.ambient.size + sum(each for _, each in self.sources)
        return float((power / most) ** self.gamma) if most > 0 else 0.0


@dataclass(frozen=True)
class _Ambient:
    """The light from all around: its mean colour, and the first order of its luminance, a vector of a length."""

    color: Rgb
    mean: float
    vector: Vector

    @classmethod
    def of(cls, irradiance: Sequence[Sequence[float]]) -> _Ambient:
        """Of nine coefficients × RGB, of which the first are those of 1, y, z and x (contract.light.HARMONICS)."""
        mean, y, z, x = (_luminance(row) for row in irradiance[:4])
        return cls(tuple(irradiance[0]), mean, (x, y, z))

    @property
    def size(self) -> float:
        """How much brighter than the mean the side is that faces the most light."""
        return math.hypot(*self.vector)

    @property
    def lean(self) -> float:
        """The size as a share of the mean."""
        return self.size / self.mean if self.mean > 0 else 0.0

    @property
    def level(self) -> float:
        """The mean on the visible half of a white sphere."""
        return self.mean + self.vector[2] / 2

    @property
    def angles(self) -> tuple[float, float]:
        """Azimuth and elevation in degrees of the brightest side."""
        x, y, z = self.vector
        return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _source(source: Mapping[str, Any], power: float, outdoors: bool, picture: _Picture, phrases: Phrases) -> Fact:
    kinds = phrases.named["kind"]
    kind = source["kind"]
    known = kind in kinds and kind != "ambient" and (kind != "sun" or outdoors)
    slots = {
        "strength": phrases.words("source.strength", relative=picture.relative(power)),
        "hardness": phrases.words("source.hardness", size=source["angular_size"], cast=source["cast_shadow"]),
        "color": _tint(_color(source), picture.gamma, phrases),
        "direction": _direction(source["azimuth"], source["elevation"], phrases),
    }
    return Fact(kinds[kind if known else "lamp"], slots)


def _ambient_light(picture: _Picture, phrases: Phrases) -> Fact:
    """The light from all around, where it has a direction or is alone."""
    ambient = picture.ambient
    leaning = phrases.words("picture.leaning", lean=ambient.lean, share=picture.share(ambient.mean + ambient.size))
    slots = {
        "color": _tint(ambient.color, picture.gamma, phrases),
        "direction": _direction(*ambient.angles, phrases),
    }
    return Fact(leaning or (() if picture.sources else phrases.named["kind"]["ambient"]), slots)


def _overall(picture: _Picture, phrases: Phrases) -> list[Fact]:
    """Contrast, highlights and exposure."""
    exposure = Fact(phrases.words("picture.exposure", level=picture.level))
    if not picture.sources:
        return [exposure]
    fill = sum(power for source, power in picture.sources if source["kind"] == "fill")
    soft = max(0.0, picture.ambient.mean - picture.ambient.size) + fill
    shiniest = max((source for source, _ in picture.sources), key=lambda source: float(source["specular"]))
    return [
        Fact(phrases.words("picture.contrast", share=picture.share(soft))),
        Fact(phrases.words("picture.highlights", specular=shiniest["specular"], shininess=shiniest["shininess"])),
        exposure,
    ]


def _pattern(source: Mapping[str, Any], phrases: Phrases) -> list[Fact]:
    if not source["pattern_id"]:
        return []
    name = source["pattern"]
    spoken = " ".join(re.findall(r"[^\W_]+", name))
    key = name if name in phrases.named["pattern"] else "unnamed" if not spoken or spoken.isdecimal() else "other"
    slots = {
        "depth": phrases.words("shadow.depth", opacity=source["pattern_opacity"]),
        "edge": phrases.words("shadow.edge", blur=source["pattern_blur"]),
        "name": (spoken,),
    }
    return [Fact(phrases.named["pattern"][key], slots)]


def _environment(environment: Mapping[str, Any] | None, phrases: Phrases) -> tuple[Fact, bool]:
    """What an environment's name says, and whether it is outdoors."""
    if environment is None:
        return Fact(()), False
    named = phrases.named["environment"]
    whole = PurePath(environment["name"]).stem.lower()
    parts = re.findall(r"[^\W_]+", whole)
    words = [part for part in parts if part.isalpha() and len(part) > 1 and part not in phrases.ignored]
    key = next((key for key in (whole, *words[-1:]) if key in named), "other" if words else "unnamed")
    outdoors = not phrases.outdoors.isdisjoint(parts)
    return Fact(named[key], {"name": (" ".join(words),)}), outdoors


def _direction(azimuth: float, elevation: float, phrases: Phrases) -> Words:
    return phrases.words("source.direction", azimuth=azimuth % 360, elevation=elevation)


def _tint(color: Rgb, gamma: float, phrases: Phrases) -> Words:
    """The words of a colour; numbers of linear light are encoded first, as hue and saturation are of sRGB values."""
    most = max(color)
    if most <= 0:
        return ()
    red, green, blue = (max(0.0, channel / most) ** (gamma / _GAMMA) for channel in color)
    hue, saturation, _ = colorsys.rgb_to_hsv(red, green, blue)
    return phrases.words("source.color", hue=360 * hue, saturation=saturation)


def _color(source: Mapping[str, Any]) -> Rgb:
    return tuple(float(source[f"color_{channel}"]) for channel in CHANNELS)


def _luminance(color: Sequence[float]) -> float:
    return sum(share * channel for share, channel in zip(_LUMINANCE, color, strict=True))


def _distinct(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Those that have something to say, each once."""
    return tuple(fact for place, fact in enumerate(facts) if fact.texts and fact not in facts[:place])

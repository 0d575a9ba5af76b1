"""Says the light of a picture in words, from its numbers: an instruction for training, and paraphrases of it."""

from __future__ import annotations

import colorsys
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from client.light.phrases import INSTRUCTIONS_FILE, Phrases, Words, read_phrases, without_empty
from contract.light import CHANNELS

__all__ = ["INSTRUCTIONS_FILE", "Phrases", "describe", "read_phrases"]

_GAMMA = 2.2  # of sRGB, near enough for words
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear red, green and blue, Rec. 709
_TRIES = 8  # texts that are made for each that is wanted, where some turn out the same
# Spelled with a vowel and spoken without one, and the reverse.
_A, _AN = re.compile(r"(uni|use|eu|one\b|once\b)", re.IGNORECASE), re.compile(r"([aeiou]|hour|honest)", re.IGNORECASE)

Rgb = tuple[float, ...]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class _Fact:
    """One thing to say: texts that say it, and the words of their slots."""

    texts: Words
    slots: Mapping[str, Words] = field(default_factory=dict)


@dataclass(frozen=True)
class _Facts:
    """All that a picture's sentences say."""

    light: tuple[_Fact, ...]
    effects: tuple[_Fact, ...]
    environment: _Fact
    background: _Fact


def describe(entry: Mapping[str, Any], seed: str, count: int = 4, phrases: Phrases | None = None) -> list[str]:
    """Say the light of one picture in `count` sentences, of which the first is an instruction.

    All say the same facts, no two are equal, and the same seed gives the same sentences; the order of the keys in
    `entry` changes nothing. There are fewer where the words make no more.

    Args:
        entry: of `lights` in metadata.json; its instructions are not read.
        seed: any text.
        count: at least 1.
        phrases: from `read_phrases`; without them those of INSTRUCTIONS_FILE.
    """
    phrases = phrases or _default_phrases()
    facts = _facts(entry, phrases)
    sentences: dict[str, None] = {}
    for number, frame in enumerate(_frames(phrases, seed, count * _TRIES)):
        sentences.setdefault(_sentence(facts, frame, f"{seed}/{number}", phrases))
        if len(sentences) == count:
            break
    return list(sentences)


@lru_cache(maxsize=1)
def _default_phrases() -> Phrases:
    return read_phrases()


def _frames(phrases: Phrases, seed: str, tries: int) -> Iterator[str]:
    """Sentences to fill: an instruction, then all others before one comes again."""
    first = min(phrases.instructions, key=lambda frame: _number(seed, frame))
    rest = sorted({*phrases.instructions, *phrases.captions} - {first}, key=lambda frame: _number(seed, frame))
    ordered = [first, *rest]
    return (ordered[number % len(ordered)] for number in range(tries))


# --- From numbers to facts -------------------------------------------------------------------------------------------


def _facts(entry: Mapping[str, Any], phrases: Phrases) -> _Facts:
    decoded = _GAMMA if entry["space"] == "srgb" else 1.0  # so that a threshold is of linear light in both spaces
    background = _Fact(
        phrases.named["background"][entry["background"]], {"shade": phrases.words("picture.shade", gray=entry["gray"])}
    )
    name, outdoors = _environment(entry["environment"], phrases)
    ambient = _Ambient.of(entry["irradiance"])
    powers = [_luminance(_color(source)) * source["intensity"] for source in entry["sources"]]
    sources = [(source, power) for source, power in zip(entry["sources"], powers, strict=True) if power > 0]
    facing = (power * (1 + math.sin(math.radians(source["elevation"]))) / 4 for source, power in sources)
    level = max(0.0, ambient.level + sum(facing)) ** decoded
    if darkness := phrases.words("picture.darkness", level=level):
        return _Facts((_Fact(darkness),), (), name, background)

    fill = sum(power for source, power in sources if source["kind"] == "fill")
    brightest = (ambient.mean + ambient.size + sum(power for _, power in sources)) or 1.0
    light = [_source(source, power / max(powers), outdoors, decoded, phrases) for source, power in sources]
    leaning = phrases.words(
        "picture.leaning", lean=ambient.lean, share=((ambient.mean + ambient.size) / brightest) ** decoded
    )
    slots = {"color": _tint(ambient.color, decoded, phrases), "direction": _direction(*ambient.angles, phrases)}
    if leaning:
        light.append(_Fact(leaning, slots))
    elif not light:
        light.append(_Fact(phrases.named["kind"]["ambient"], slots))

    effects = [fact for source, _ in sources for fact in _pattern(source, phrases)]
    if sources:
        share = (max(0.0, ambient.mean - ambient.size) + fill) / brightest
        shiniest = max((source for source, _ in sources), key=lambda source: float(source["specular"]))
        effects += [
            _Fact(phrases.words("picture.contrast", share=share**decoded)),
            _Fact(phrases.words("picture.highlights", specular=shiniest["specular"], shininess=shiniest["shininess"])),
        ]
    effects.append(_Fact(phrases.words("picture.exposure", level=level)))
    return _Facts(_distinct(light), _distinct(effects), name, background)


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


def _source(source: Mapping[str, Any], relative: float, outdoors: bool, decoded: float, phrases: Phrases) -> _Fact:
    kinds = phrases.named["kind"]
    kind = source["kind"]
    known = kind in kinds and kind != "ambient" and (kind != "sun" or outdoors)
    slots = {
        "strength": phrases.words("source.strength", relative=relative**decoded),
        "hardness": phrases.words("source.hardness", size=source["angular_size"], cast=source["cast_shadow"]),
        "color": _tint(_color(source), decoded, phrases),
        "direction": _direction(source["azimuth"], source["elevation"], phrases),
    }
    return _Fact(kinds[kind if known else "lamp"], slots)


def _pattern(source: Mapping[str, Any], phrases: Phrases) -> list[_Fact]:
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
    return [_Fact(phrases.named["pattern"][key], slots)]


def _environment(environment: Mapping[str, Any] | None, phrases: Phrases) -> tuple[_Fact, bool]:
    """What an environment's name says, and whether it is outdoors."""
    if environment is None:
        return _Fact(()), False
    named = phrases.named["environment"]
    whole = PurePath(environment["name"]).stem.lower()
    parts = re.findall(r"[^\W_]+", whole)
    words = [part for part in parts if part.isalpha() and len(part) > 1 and part not in phrases.ignored]
    key = next((key for key in (whole, *words[-1:]) if key in named), "other" if words else "unnamed")
    outdoors = not phrases.outdoors.isdisjoint(parts)
    return _Fact(named[key], {"name": (" ".join(words),)}), outdoors


def _direction(azimuth: float, elevation: float, phrases: Phrases) -> Words:
    return phrases.words("source.direction", azimuth=azimuth % 360, elevation=elevation)


def _tint(color: Rgb, decoded: float, phrases: Phrases) -> Words:
    """The words of a colour; numbers of linear light are encoded first, as hue and saturation are of sRGB values."""
    most = max(color)
    if most <= 0:
        return ()
    red, green, blue = (max(0.0, channel / most) ** (decoded / _GAMMA) for channel in color)
    hue, saturation, _ = colorsys.rgb_to_hsv(red, green, blue)
    return phrases.words("source.color", hue=360 * hue, saturation=saturation)


def _color(source: Mapping[str, Any]) -> Rgb:
    return tuple(float(source[f"color_{channel}"]) for channel in CHANNELS)


def _luminance(color: Sequence[float]) -> float:
    return sum(share * channel for share, channel in zip(_LUMINANCE, color, strict=True))


def _distinct(facts: Sequence[_Fact]) -> tuple[_Fact, ...]:
    """Those that have something to say, each once."""
    return tuple(fact for place, fact in enumerate(facts) if fact.texts and fact not in facts[:place])


# --- From facts to a sentence ----------------------------------------------------------------------------------------


def _sentence(facts: _Facts, frame: str, seed: str, phrases: Phrases) -> str:
    light = [_said(fact, f"{seed}/light/{place}") for place, fact in enumerate(facts.light)]
    effects = [_said(fact, f"{seed}/effects/{place}") for place, fact in enumerate(facts.effects)]
    filled = {
        "light": _listed(light, phrases),
        "effects": _listed(effects, phrases),
        "all": _listed(light + effects, phrases),
        "environment": _said(facts.environment, f"{seed}/environment"),
        "background": _said(facts.background, f"{seed}/background"),
    }
    text = " ".join(without_empty(frame, filled).format_map(filled).split())
    text = re.sub(r"\ba\(n\) (?=(\w*))", lambda found: "an " if _takes_an(found[1]) else "a ", text)
    return text[:1].upper() + text[1:]


def _said(fact: _Fact, seed: str) -> str:
    """One of the fact's texts with one of the words in each slot."""
    words = {slot: _chosen(choices, f"{seed}/{slot}") for slot, choices in fact.slots.items()}
    return " ".join(_chosen(fact.texts, seed).format_map(words).split())


def _listed(parts: Sequence[str], phrases: Phrases) -> str:
    """`a`, `a and b`, `a, b, and c`."""
    between, two, more = phrases.joints
    if len(parts) < 2:
        return "".join(parts)
    return between.join(parts[:-1]) + (two if len(parts) == 2 else more) + parts[-1]


def _takes_an(word: str) -> bool:
    return bool(_AN.match(word)) and not _A.match(word)


def _chosen(choices: Words, seed: str) -> str:
    if len(choices) < 2:
        return "".join(choices)
    return choices[_number(seed) % len(choices)]


def _number(*texts: str) -> int:
    """A number of 64 bits that depends on the texts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(texts).encode()).digest()[:8], "big")

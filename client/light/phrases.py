"""Reads an instructions file (TOML): the words and sentences that say a light. instructions.toml explains it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import Any

from client.light.distributions import SettingsError, read_toml
from contract.light import BACKGROUNDS

INSTRUCTIONS_FILE = Path(__file__).with_name("instructions.toml")  # the only place of the words

Words = tuple[str, ...]  # texts that say the same

_LOOK = ("strength", "hardness", "color", "direction")
# The keys that turn numbers into words: the numbers that their rows may name, and the slots of their words.
_ROWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "source.direction": (("azimuth", "elevation"), ()),
    "source.hardness": (("size", "cast"), ()),
    "source.strength": (("relative",), ()),
    "source.color": (("hue", "saturation"), ()),
    "shadow.depth": (("opacity",), ()),
    "shadow.edge": (("blur",), ()),
    "picture.contrast": (("share",), ()),
    "picture.highlights": (("specular", "shininess"), ()),
    "picture.exposure": (("level",), ()),
    "picture.darkness": (("level",), ()),
    "picture.leaning": (("lean", "share"), ("color", "direction")),
    "picture.shade": (("gray",), ()),
}
_ANGLES = ("azimuth", "hue")  # a range of these may contain 0 inside
# The sections of words by name: the slots of their words, and the names that must be there.
_NAMED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "kind": (_LOOK, ("key", "fill", "rim", "sun", "lamp", "ambient")),
    "pattern": (("depth", "edge", "name"), ("other", "unnamed")),
    "background": (("shade",), BACKGROUNDS),
    "environment": (("name",), ("other", "unnamed")),
}
_NO_SLOTS = ("ignored", "outdoors")  # of the section environment: single words
_FRAMES = ("instructions", "captions")
_JOINTS = ("between", "last_of_two", "last_of_more")
_SLOTS = (["all", "background", "environment"], ["background", "effects", "environment", "light"])  # of a sentence
_OPTION = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Row:
    """Words for numbers within `ranges`, by the name of the number, both ends included."""

    ranges: Mapping[str, tuple[float, float]]
    words: Words

    def fits(self, numbers: Mapping[str, float]) -> bool:
        """Whether each of the numbers is within its range; a range that starts above its end contains 0."""
        for name, (low, high) in self.ranges.items():
            number = numbers[name]
            if not (low <= number <= high if low <= high else number >= low or number <= high):
                return False
        return True


@dataclass(frozen=True)
class Phrases:
    """The content of an instructions file."""

    rows: Mapping[str, tuple[Row, ...]]  # by key, such as source.color
    named: Mapping[str, Mapping[str, Words]]  # by section, then by name
    ignored: frozenset[str]
    outdoors: frozenset[str]
    instructions: Words
    captions: Words
    joints: tuple[str, str, str]  # between the parts of a list, before the last of two, before the last of more

    def words(self, key: str, **numbers: float) -> Words:
        """The words of the first row of `key` that fits; none where no row fits."""
        return next((row.words for row in self.rows[key] if row.fits(numbers)), ())


def read_phrases(path: str | Path = INSTRUCTIONS_FILE) -> Phrases:
    """Read the words in the file at `path`. Raises SettingsError, a sentence with file and key."""
    content = read_toml(path, "instructions")
    try:
        found = _flat(content)
        return Phrases(
            rows={key: _rows(key, found[key]) for key in _ROWS},
            named={section: _named(section, content[section]) for section in _NAMED},
            ignored=frozenset(_texts("environment.ignored", found["environment.ignored"])),
            outdoors=frozenset(_texts("environment.outdoors", found["environment.outdoors"])),
            instructions=_frames("sentences.instructions", found["sentences.instructions"]),
            captions=_frames("sentences.captions", found["sentences.captions"]),
            joints=_joints(found),
        )
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def without_empty(frame: str, filled: Mapping[str, str]) -> str:
    """The frame without the [brackets] in which a slot is empty, and with the content of the others."""
    return _OPTION.sub(lambda found: found[1] if all(filled[slot] for slot in _slots_of(found[1])) else "", frame)


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """The values by section.key. Raises ValueError where a key is missing or unknown."""
    required = [*_ROWS, *(f"sentences.{name}" for name in _FRAMES), *(f"list.{name}" for name in _JOINTS)]
    required += [f"{section}.{name}" for section, (_, names) in _NAMED.items() for name in names]
    required += [f"environment.{name}" for name in _NO_SLOTS]
    sections = {key.partition(".")[0] for key in required}
    found = {
        f"{section}.{key}": value
        for section, values in content.items()
        if section in sections and isinstance(values, dict)
        for key, value in values.items()
    }
    unknown = [key for key in content if key not in sections or not isinstance(content[key], dict)]
    unknown += [key for key in found if key not in required and key.partition(".")[0] not in ("pattern", "environment")]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*required, *sections], 1)
        raise ValueError(f"there is no key {unknown[0]}{f'; did you mean {near[0]}?' if near else ''}")
    missing = [key for key in required if key not in found]
    if missing:
        raise ValueError(f"the key {missing[0]} is missing; copy it from {INSTRUCTIONS_FILE}")
    return found


def _rows(key: str, value: object) -> tuple[Row, ...]:
    measures, slots = _ROWS[key]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError(f"{key} must be a list of rows in braces")
    rows = []
    for index, row in enumerate(value, 1):
        place = f"{key}, row {index},"
        if "words" not in row:
            raise ValueError(f"{place} must have words")
        ranges = {name: _range(f"{place} {name}", name, row[name]) for name in row if name != "words"}
        for name in ranges:
            if name not in measures:
                raise ValueError(f"{place} has {name}; its numbers are {' and '.join(measures)}")
        rows.append(Row(ranges, _texts(f"{place} words", row["words"], slots)))
    return tuple(rows)


def _range(place: str, name: str, value: object) -> tuple[float, float]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 2 or any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in numbers):
        raise ValueError(f"{place} must be a range [low, high], not {value!r}")
    low, high = numbers
    if name not in _ANGLES and not low <= high:
        raise ValueError(f"{place} has a range that starts at {low:g}, above its end {high:g}")
    return float(low), float(high)


def _named(section: str, values: Mapping[str, object]) -> dict[str, Words]:
    slots = _NAMED[section][0]
    if section == "kind" and [] in values.values():  # a sentence without any light has a hole
        raise ValueError(f"kind.{next(name for name, value in values.items() if value == [])} must have a text")
    return {name: _texts(f"{section}.{name}", value, slots) for name, value in values.items() if name not in _NO_SLOTS}


def _texts(place: str, value: object, slots: tuple[str, ...] = ()) -> Words:
    """A list of texts whose slots are among `slots`."""
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"{place} must be a list of texts in quotes")
    for text in value:
        for slot in _slots_of(text, place):
            if slot not in slots:
                known = " and ".join(f"{{{name}}}" for name in slots) or "none"
                raise ValueError(f"{place} has the slot {{{slot}}} in {text!r}; its slots are {known}")
    return tuple(value)


def _frames(place: str, value: object) -> Words:
    """Sentences, each with all that there is to say, once."""
    frames = _texts(place, value, tuple({slot for slots in _SLOTS for slot in slots}))
    if not frames:
        raise ValueError(f"{place} must have a sentence")
    for frame in frames:
        optional = sorted(slot for part in _OPTION.findall(frame) for slot in _slots_of(part))
        needed = [slot for slot in ("background", "effects", "environment") if slot in _slots_of(frame)]
        if sorted(_slots_of(frame)) not in _SLOTS or optional != needed or not frame.endswith("."):
            raise ValueError(
                f"{place} has {frame!r}; a sentence ends with a full stop and has {{light}} and [{{effects}}], or "
                "{all}, then [{environment}] and [{background}] in brackets, each once"
            )
    return frames


def _joints(found: Mapping[str, Any]) -> tuple[str, str, str]:
    for name in _JOINTS:
        if not isinstance(found[f"list.{name}"], str):
            raise ValueError(f"list.{name} must be a text in quotes")
    between, two, more = (found[f"list.{name}"] for name in _JOINTS)
    return between, two, more


@lru_cache(maxsize=1024)  # a frame is read for every picture
def _slots_of(text: str, place: str = "") -> tuple[str, ...]:
    """The names in braces. Raises ValueError where a brace is alone, or a slot has a format."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{place} has {text!r}: {error}") from None
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise ValueError(f"{place} has {text!r}: a slot is a name in braces and nothing else")
    return tuple(name for _, name, _, _ in parts if name is not None)

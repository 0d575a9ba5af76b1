"""Says the light of a picture in words, from its numbers: an instruction for training, and paraphrases of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from client.light.facts import Fact, Facts, facts_of
from client.light.phrases import INSTRUCTIONS_FILE, Phrases, Words, read_phrases, without_empty

__all__ = ["INSTRUCTIONS_FILE", "Phrases", "describe", "read_phrases"]

_TRIES = 8  # texts that are made for each that is wanted, where some turn out the same
# Spelled with a vowel and spoken without one, and the reverse.
_A, _AN = re.compile(r"(uni|use|eu|one\b|once\b)", re.IGNORECASE), re.compile(r"([aeiou]|hour|honest)", re.IGNORECASE)


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
    facts = facts_of(entry, phrases)
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


def _sentence(facts: Facts, frame: str, seed: str, phrases: Phrases) -> str:
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


def _said(fact: Fact, seed: str) -> str:
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

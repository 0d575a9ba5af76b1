"""Promises of the instruction texts: true to the numbers, one grammatical sentence each, the same for the same seed."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.light.distributions import SettingsError
from client.light.instruction import INSTRUCTIONS_FILE, Phrases, describe, read_phrases
from contract.light import BACKGROUNDS, LIGHT, NUMBERS, PATTERNS, SENT

WORDS = read_phrases()
FRAMES = (*WORDS.instructions, *WORDS.captions)
WHITE, WARM, COOL, RED = (1, 1, 1), (1, 0.67, 0.42), (0.67, 0.78, 1), (1, 0.1, 0.05)
LEFT = [[0.5] * 3, [0.0] * 3, [0.1] * 3, [-0.4] * 3, *([0.0] * 3 for _ in range(5))]  # irradiance from the left
ODD = re.compile(r" {2}| [,.]|,,|[{}\[\]()]|\b(with|by|and|a|an|the|in|of)[,.]|\ba [aeiou]|\ban [^aeiou]|\b(\w+) \2\b")


def source(kind: str = "key", azimuth: float = 225, elevation: float = 40, **numbers: Any) -> dict[str, Any]:
    """A source of an entry; `color` is its three numbers."""
    defaults = {number.name: number.default for number in SENT if number.tensor == LIGHT}
    color = dict(zip(("color_red", "color_green", "color_blue"), numbers.pop("color", WHITE), strict=True))
    place = {"kind": kind, "azimuth": azimuth, "elevation": elevation, "pattern": "none"}
    found = {**defaults, **place, **color, **numbers}
    names = ("none", *PATTERNS)
    return {**found, "pattern_id": names.index(found["pattern"]) if found["pattern"] in names else 11}


def entry(*sources: Mapping[str, Any], ambient: float = 0.5, **rest: Any) -> dict[str, Any]:
    """An entry of metadata.json."""
    irradiance = [[ambient] * 3, *([0.0] * 3 for _ in range(8))]
    defaults = {"seed": "0" * 16, "space": "linear", "environment": None, "irradiance": irradiance, "gray": 128}
    return {**defaults, "background": "gray", "backdrop": None, "sources": list(sources), **rest}


def sky(name: str) -> dict[str, Any]:
    return {"name": name, "azimuth": 0.0, "exposure": 0.6, "split": True}


def firsts(frame: str) -> Phrases:
    """The default words without synonyms, and one sentence."""
    rows = {
        key: tuple(replace(row, words=row.words[:1]) for row in each if row.words or row.ranges)
        for key, each in WORDS.rows.items()
    }
    named = {section: {name: words[:1] for name, words in each.items()} for section, each in WORDS.named.items()}
    return replace(WORDS, rows=rows, named=named, instructions=(frame,), captions=(frame,))


@pytest.mark.parametrize(
    ("picture", "said", "unsaid"),
    [
        (entry(source(azimuth=0)), "(from the|on the|camera) right", "left|upper|lower|behind|front|warm|cool|shadow"),
        (entry(source(azimuth=270)), "from above", "left|right|below|behind"),
        (entry(source(azimuth=90, elevation=-20)), "from (behind and below|below and behind)", "left|right|above"),
        (entry(source(azimuth=180, elevation=80)), "from the front|from the camera", "left|behind"),
        (entry(source("rim", 180, -30)), "(rim|edge) light from (behind on the left|the back left)", "key|right"),
        (entry(source(elevation=-90)), "from (directly|straight) behind", "left|front"),
        (entry(source(color=WARM), source("fill", 0, 20, color=COOL)), "warm.* light .*cool.* fill light", "pale|blue"),
        (entry(source(color=RED)), " red (key|main) light", "warm|orange|pink"),
        (entry(source(color=(0.9, 0.35, 0.1)), space="srgb"), " orange ", "warm|amber"),
        (entry(source(cast_shadow=1, angular_size=0.5)), " hard ", "soft|diffuse"),
        (entry(source(cast_shadow=1, angular_size=45)), " (soft|diffuse) ", "hard"),
        (entry(source(cast_shadow=0, angular_size=0.5)), "light", "hard|soft"),
        (entry(source(), ambient=0.05), "deep shadows|(dramatic|high) contrast", "low|gentle"),
        (entry(source(intensity=0.1), ambient=0.9), "low contrast|gentle shadows", "deep|dramatic"),
        (entry(source(), source("fill", 0, 30, intensity=0.1)), "(faint|weak|dim) fill", "(faint|weak|dim) (key|main)"),
        (entry(source(specular=0.4)), "(glossy|shiny) highlights", "sheen"),
        (entry(source(pattern="tree_foliage", pattern_blur=1)), "(crisp|sharp-edged).*(leaves|foliage)", "soft|faint"),
        (entry(source(pattern="venetian_blinds", pattern_opacity=0.3)), "(faint|pale).*venetian", "dark|strong"),
        (entry(source(pattern="my_church.window")), "a my church window shadow", "window frame|_"),
        (entry(source(pattern="11")), "a patterned shadow", "11"),
        (entry(source(intensity=3)), "(bright|high) exposure", "dark|low exposure"),
        (entry(source(intensity=0.2), ambient=0.1), "(dark|low) exposure", "bright"),
        (entry(), "(even|flat).* light", "from the|left|right|contrast|key"),
        (entry(ambient=0), "(almost no|hardly any|next to no) light", "exposure|even"),
        (entry(source("sun", color=WARM), environment=sky("clear_noon_sky")), "warm.* sunlight.*under a clear noon sky|"
         "under a clear noon sky.* warm.* sunlight", "environment|ambient"),
        (entry(source("sun"), environment=sky("white_studio")), "in a white studio", "sun|a(?= a)"),
        (entry(environment=sky("overcast")), "under an overcast sky", "sunlight"),
        (entry(source("sun", 0), environment=sky("softbox_left")), "softbox.*right|right.*softbox", "left|sunlight"),
        (entry(environment=sky("old_barn_02_4k.hdr")), "an old barn environment", "4k|02|hdr"),
        (entry(environment=sky("IMG_2231.exr")), "under image-based lighting", "img|2231"),
        (entry(environment=sky("room_right"), irradiance=LEFT), "(mainly|mostly) .*left", "right|even"),
        (entry(source(), background="photo"), "original background", "gray"),
        (entry(source(), background="picture", backdrop="beach.jpg"), "new background", "gray"),
        (entry(source(), background="relit", gray=255), "white (backdrop|background)", "gray"),
        (entry(source(), background="gray", gray=0), "plain black", "gray"),
    ],
)  # fmt: skip
def test_a_picture_is_said_as_its_numbers_are(picture: dict[str, Any], said: str, unsaid: str) -> None:
    texts = describe(picture, "7", 12)
    assert len(set(texts)) == 12
    for text in texts:
        assert re.search(said, text), text
        assert not re.search(rf"\b({unsaid})\b", text), text


def test_whole_sentences() -> None:
    key = source(color=WARM, pattern="venetian_blinds", pattern_opacity=0.7)
    three = entry(
        key, source("fill", 0, 20, color=COOL), source("rim", 180, -30, intensity=0.1), environment=sky("sky")
    )
    with_all, split = (firsts(next(frame for frame in FRAMES if slot in frame)) for slot in ("{all}", "{light}"))
    assert describe(three, "", 1, with_all) == [
        "Relight the portrait under a sky with a warm key light from the upper left, a cool fill light from the right, "
        "a faint rim light from behind on the left, and a venetian-blind shadow, before a plain gray backdrop."
    ]
    assert describe(entry(key, background="photo"), "", 1, split) == [
        "Change the lighting to a warm key light from the upper left, with a venetian-blind shadow, in front of the "
        "original background."
    ]
    assert describe(entry(), "", 1, split) == [
        "Change the lighting to even ambient light, before a plain gray backdrop."
    ]


@pytest.mark.parametrize("frame", FRAMES)
def test_every_sentence_is_grammatical_whatever_there_is_to_say(frame: str) -> None:
    words = replace(WORDS, instructions=(frame,), captions=(frame,))
    silent = replace(words, named={**words.named, "background": dict.fromkeys(BACKGROUNDS, ())})
    sources = [source(), source("fill", 0, specular=0.5), source("rim", 180, -30, pattern="fence")]
    for count in range(4):
        for environment in (None, sky("overcast_sky")):
            for phrases in (words, silent):
                picture = entry(*sources[:count], environment=environment, ambient=0.5 if count else 0)
                (text,) = describe(picture, "1", 1, phrases)
                assert re.fullmatch(r"[A-Z][^.]+\.", text), text
                assert not ODD.search(text), text
                assert len(re.findall("key|main|fill|rim|edge|no light|any light", text)) == max(1, count)
                assert ("overcast sky" in text) == bool(environment)
                assert ("backdrop" in text or "background" in text) == (phrases is words)


def numbers(**ranges: tuple[float, float]) -> dict[str, st.SearchStrategy[float]]:
    """Every number of a source over its whole range, or the given one."""
    named = {name: NUMBERS[name].interval for name in source() if name in NUMBERS and name != "pattern_id"}
    whole = {name: (interval.low, interval.high) for name, interval in named.items()}
    return {name: st.floats(low, high) for name, (low, high) in {**whole, **ranges}.items()}


VISIBLE = dict.fromkeys(("intensity", "color_red", "color_green", "color_blue"), (0.1, 10.0))
SOURCES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        **numbers(**VISIBLE),
        "kind": st.sampled_from(("key", "fill", "rim", "sun", "other")),
        "azimuth": st.floats(0, 360).filter(lambda angle: angle % 45 != 22.5),  # the border of two directions
        "elevation": st.floats(-90, 90),
        "pattern": st.one_of(st.sampled_from(("none", *PATTERNS)), st.text(max_size=12)),
    }
)
ENVIRONMENTS = st.one_of(st.none(), st.text(max_size=20).map(sky), st.sampled_from(("sky", "uni_hall")).map(sky))
COEFFICIENTS = st.lists(st.floats(-20, 20), min_size=3, max_size=3)
ENTRIES = st.fixed_dictionaries(
    {
        "sources": st.lists(SOURCES, max_size=3).map(lambda drawn: [source(**one) for one in drawn]),
        "space": st.sampled_from(("linear", "srgb")),
        "environment": ENVIRONMENTS,
        "irradiance": st.lists(COEFFICIENTS, min_size=8, max_size=8),
        "gray": st.integers(0, 255),
        "background": st.sampled_from(BACKGROUNDS),
    }
)


@given(picture=ENTRIES, mean=st.lists(st.floats(0, 10), min_size=3, max_size=3), seed=st.text(max_size=5))
def test_any_picture_has_distinct_sentences_of_its_own(picture: dict[str, Any], mean: list[float], seed: str) -> None:
    picture = entry(**picture | {"irradiance": [mean, *picture["irradiance"]]})
    texts = describe(picture, seed, 5)
    assert len(set(texts)) == 5
    assert texts == describe(dict(reversed(picture.items())), seed, 5), "the order of keys changes nothing"
    assert texts[:2] == describe(picture, seed, 2)
    for text in texts:
        assert re.fullmatch(r"[A-Z][^.\n]+\.", text), text
        assert not re.search(r" {2}| [,.]|,,|[{}\[\]()]", text), text
    assert not texts[0].startswith(("A ", "The person ")), "the first is an instruction"


OCTANTS = ("right", "right down", "down", "left down", "left", "left up", "up", "right up")
SIDES = {
    "left": "left",
    "right": "right",
    "up": "upper|above|high behind",
    "down": "lower|below|underneath|low behind",
    "behind": "behind|back",
    "front": "front|camera's",
}


@given(sources=st.lists(SOURCES, min_size=1, max_size=3), seed=st.text(max_size=5))
def test_every_paraphrase_says_the_direction_of_the_light(sources: list[dict[str, Any]], seed: str) -> None:
    picture = entry(*(source(**{**one, "pattern": "none"}) for one in sources))
    expected = set()
    for one in sources:
        octant = round(one["azimuth"] / 45) % 8
        if one["elevation"] < 0:
            expected.add("behind")
        if one["elevation"] >= 65:
            expected.add("front")
        elif one["elevation"] > -65:
            expected.update(OCTANTS[octant].split())
    for text in describe(picture, seed, 6):
        assert {name for name, said in SIDES.items() if re.search(rf"\b({said})\b", text)} == expected, text


def changed(folder: Path, old: str, new: str) -> Path:
    """The default file with `old`, which occurs once, changed."""
    content = INSTRUCTIONS_FILE.read_text("utf-8")
    assert content.count(old) == 1
    path = folder / "own.toml"
    path.write_text(content.replace(old, new), "utf-8")
    return path


def test_words_and_thresholds_of_ones_own(tmp_path: Path) -> None:
    own = read_phrases(changed(tmp_path, "{ saturation = [0, 0.08], words = [] }", '{ words = ["bunt"] }'))
    assert all(" bunt " in text for text in describe(entry(source()), "1", phrases=own))
    own = read_phrases(changed(tmp_path, "\nhall = [", '\nold_hall = ["in a(n) honest {name}"]\nhall = ['))
    picture = entry(source(pattern="fence"), environment=sky("old_hall"))
    assert all(" in an honest old hall" in text for text in describe(picture, "1", phrases=own))
    with pytest.raises(SettingsError, match=r"nowhere.toml cannot be opened \(No such file"):
        read_phrases(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[picture]", "[pictures]", "there is no key pictures; did you mean picture"),
        ("lamp = [", "lamb = [", "there is no key kind.lamb; did you mean kind.lamp"),
        ('between = ", "\n', "", "the key list.between is missing"),
        ('sun = ["{strength}', 'sun = ["{colour}', r"kind.sun has the slot {colour} in .*its slots are {strength}"),
        ('sun = ["{strength}', 'sun = ["{{strength}', r"kind.sun has '{{strength}.*Single"),
        ('words = ["red"]', "words = [1]", "source.color, row 9, words must be a list of texts"),
        ('words = ["red"]', 'word = ["red"]', "source.color, row 9, must have words"),
        ("{ opacity = [0, 0.2]", "{ opacity = [0.2, 0]", "shadow.depth, row 1, opacity .*starts at 0.2, above"),
        ("{ opacity = [0, 0.2]", "{ opacity = 0.2", r"shadow.depth, row 1, opacity must be a range \[low, high\]"),
        ("{ opacity = [0, 0.2]", "{ blur = [0, 0.2]", "shadow.depth, row 1, has blur; its numbers are opacity"),
        (
            "person lit by {light}[ {environment}]",
            "person lit by {light}",
            "sentences.instructions has 'Show the person",
        ),
        ('sun = ["{strength} {hardness} {color} sunlight {direction}"]', "sun = []", "kind.sun must have a text"),
        ("[kind]", "[kind", "not valid TOML"),
    ],
)
def test_a_broken_file_is_refused_by_its_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(SettingsError, match=sentence) as refused:
        read_phrases(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)

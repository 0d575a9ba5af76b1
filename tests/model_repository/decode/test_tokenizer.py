"""What decode promises of a prompt: CLIP's tokens, padded and masked, or a refusal that says why."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizer import PromptError, Tokenizer, read_prompt
from transformers import CLIPTokenizer

from export.networks.hub.sam3 import tiny_vocabulary, write_tokenizer

UNUSUAL = [
    "<|endoftext|>",
    "<|ENDOFTEXT|>",
    "'LL",
    "\x1c",
    "\x1f",
    "\x85",
    "\u200b",
    "e\u0301",
    "İ",
    "ß",
    "ΟΔΟΣ",
    "ﬁ",
    "½",
    "写",
]


def write_vocabulary(folder: Path) -> None:
    """A tiny CLIP vocabulary: the letters of 'person', their merges, and a comma."""
    merges = ["p e", "pe r", "s o", "so n</w>", "per son</w>"]
    letters = [*"person,é", *(letter + "</w>" for letter in "person,"), "'s</w>"]
    pieces = [*letters, *(merge.replace(" ", "") for merge in merges)]
    ids = {piece: number for number, piece in enumerate(pieces)}
    ids |= {"<|startoftext|>": 900, "<|endoftext|>": 901}
    (folder / "vocab.json").write_text(json.dumps(ids), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")


def test_a_prompt_becomes_start_pieces_end_and_masked_padding(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    vocabulary = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    ids, mask = Tokenizer(tmp_path).encode("  Person,\n PERSON ")
    person, comma = vocabulary["person</w>"], vocabulary[",</w>"]
    assert ids == (900, person, comma, person, *[901] * 28)
    assert mask == (*[1] * 5, *[0] * 27)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, CLIPTokenizer]:
    """decode's and transformers' own, of the same vocabulary."""
    folder = tmp_path_factory.mktemp("vocabulary")
    write_tokenizer(None, folder)
    ids, merges = tiny_vocabulary()
    return Tokenizer(folder), CLIPTokenizer(vocab=ids, merges=merges)  # type: ignore[arg-type]  # annotated as str


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*UNUSUAL, "person", " ", "2"]) | st.text(max_size=4), max_size=6).map("".join))
@example("".join(UNUSUAL[1:5]))
@example(" ".join(UNUSUAL[5:]))
@example("person " * 31)
def test_any_prompt_gets_the_tokens_of_transformers_cliptokenizer(
    readers: tuple[Tokenizer, CLIPTokenizer], prompt: str
) -> None:
    decode, reference = readers
    wanted = reference(prompt, padding="max_length", max_length=32)
    if len(wanted.input_ids) > 32:
        with pytest.raises(PromptError, match=f"{len(wanted.input_ids) - 2} tokens long"):
            decode.encode(prompt)
    else:
        assert decode.encode(prompt) == (tuple(wanted.input_ids), tuple(wanted.attention_mask))


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "<|startoftext|>": 1}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(ValueError, match=r"no CLIP vocabulary: no <\|endoftext\|>"):
        Tokenizer(tmp_path)


def test_a_prompt_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    with pytest.raises(PromptError, match="31 tokens long; the text encoder reads 30"):
        Tokenizer(tmp_path).encode("person " * 31)
    with pytest.raises(PromptError, match="empty"):
        read_prompt(b" \n")
    with pytest.raises(PromptError, match=r"not UTF-8 text \(byte 1 is 0xff\)"):
        read_prompt(b"a\xff")

"""What decode promises of a prompt: CLIP's tokens, padded and masked, or a refusal that says why."""

import json
from pathlib import Path

import pytest
from tokenizer import PromptError, Tokenizer, read_prompt


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


def test_a_prompt_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    with pytest.raises(PromptError, match="31 tokens long; the text encoder reads 30"):
        Tokenizer(tmp_path).encode("person " * 31)
    with pytest.raises(PromptError, match="empty"):
        read_prompt(b" \n")
    with pytest.raises(PromptError, match=r"not UTF-8 text \(byte 1 is 0xff\)"):
        read_prompt(b"a\xff")

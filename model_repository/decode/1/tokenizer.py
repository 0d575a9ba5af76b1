"""CLIP's byte-level BPE: a prompt in, a row of token ids out, as SAM3's text encoder reads it.

Follows openai/CLIP's simple_tokenizer.py and, in normalisation, Hugging Face's CLIPTokenizer.
"""

import json
import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

LENGTH = 32
_START, _END = "<|startoftext|>", "<|endoftext|>"
# Taken whole, before the runs of letters, single digits and runs of anything else.
_FIXED = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d")
_RUN = re.compile(r"a+|0|!+")


class PromptError(ValueError):
    """The prompt cannot be used. The message is one sentence for the person who wrote it."""


def read_prompt(data: bytes) -> str:
    """The prompt's text. Raises PromptError if it is not UTF-8 or has nothing but blanks."""
    try:
        prompt = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(
            f"The prompt is not UTF-8 text (byte {error.start} is {data[error.start]:#04x}): encode it as UTF-8."
        ) from error
    if not prompt.strip():
        raise PromptError("The prompt is empty: name what to find in the photo, e.g. person.")
    return prompt


class Tokenizer:
    """A CLIP vocabulary, read once from `folder`/vocab.json and `folder`/merges.txt."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or ValueError if the two files are absent or not of this kind."""
        self._ids: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
        if missing := {_START, _END} - self._ids.keys():
            raise ValueError(f"{folder / 'vocab.json'} is no CLIP vocabulary: no {min(missing)}")
        lines = (folder / "merges.txt").read_text("utf-8").splitlines()
        pairs = (line.split() for line in lines if line and not line.startswith("#version"))
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(pairs)}
        self.encode = lru_cache(maxsize=4096)(self._encode)  # a run has few prompts, often one

    def _encode(self, prompt: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids and attention mask, 32 each: start, prompt, end, then the end's id, masked.

        Raises PromptError for a prompt longer than 30 pieces.
        """
        ids = [self._ids[_START]]
        for word in _words(prompt):
            ids += [self._ids.get(piece, self._ids[_END]) for piece in self._pieces(word)]
        ids.append(self._ids[_END])
        if len(ids) > LENGTH:
            raise PromptError(
                f"The prompt is {len(ids) - 2} tokens long; the text encoder reads {LENGTH - 2}: shorten it."
            )
        padding = LENGTH - len(ids)
        return (*ids, *[self._ids[_END]] * padding), (*[1] * len(ids), *[0] * padding)

    def _pieces(self, word: str) -> list[str]:
        """Join the word's bytes by the merge that was learnt first, until none applies."""
        if word in (_START, _END):
            return [word]
        symbols = _byte_symbols()
        pieces = [symbols[byte] for byte in word.encode("utf-8")]
        pieces[-1] += "</w>"
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            merged: list[str] = []
            for piece in pieces:
                # A just merged piece is longer than best[0], so a pair never takes it again.
                if merged and (merged[-1], piece) == best:
                    merged[-1] += piece
                else:
                    merged.append(piece)
            pieces = merged
        return pieces


def _words(prompt: str) -> list[str]:
    """Composed, lower case, split as CLIP's pattern over Unicode's letter and number classes."""
    text = " ".join(unicodedata.normalize("NFC", prompt).split())
    text = "".join(character.lower() for character in text)  # a whole Greek word would end in another sigma
    shape = "".join(_kind(character) for character in text)
    words: list[str] = []
    at = 0
    while at < len(text):
        match = _FIXED.match(text, at) or _RUN.match(shape, at)
        if match:
            words.append(text[at : match.end()])
        at = match.end() if match else at + 1
    return words


def _kind(character: str) -> str:
    """One sign per class, so that a plain pattern can find the runs."""
    if character == " ":
        return " "
    return {"L": "a", "N": "0"}.get(unicodedata.category(character)[0], "!")


@lru_cache(maxsize=1)
def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: itself where visible, else from U+0100 on."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {
        **{byte: chr(byte) for byte in visible},
        **{byte: chr(256 + at) for at, byte in enumerate(hidden)},
    }

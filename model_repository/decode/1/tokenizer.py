"""Tokens of a prompt: CLIP's, as SAM3's text encoder reads them, or the number of one of a few known prompts."""

import json
from pathlib import Path
from typing import Protocol

from tokenizers import AddedToken, Regex, Tokenizer as Pipeline, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

LENGTH = 32
_SHOWN = 60  # characters of a prompt, in a message
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")


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


Tokens = tuple[tuple[int, ...], tuple[int, ...]]  # ids and attention mask, LENGTH each


class Vocabulary(Protocol):
    """What a prompt is read with."""

    def encode(self, prompt: str) -> Tokens:
        """Token ids and attention mask. Raises PromptError."""


def read_vocabulary(folder: Path) -> Vocabulary:
    """What the export of `segment` has put into `folder` for the prompts that it reads."""
    if (folder / "vocab.json").exists():
        return Tokenizer(folder)
    prompts = folder / "prompts.json"
    return Prompts(json.loads(prompts.read_text("utf-8")) if prompts.exists() else None)


class Prompts:
    """The few prompts of a network, each by its place among them; without any, every prompt is the same."""

    def __init__(self, places: dict[str, int] | None) -> None:
        """`places` are the token ids by prompt; None where `segment` ignores the prompt."""
        self._places = places

    def encode(self, prompt: str) -> Tokens:
        """The prompt's place and zeros; zeros alone where the prompt is ignored. Raises PromptError, with the list."""
        if self._places is None:
            return (0,) * LENGTH, (0,) * LENGTH
        name = prompt.strip().lower()
        if name not in self._places:
            raise PromptError(
                f"The prompt {prompt[:_SHOWN]!r} is not known to the network: choose from {', '.join(self._places)}."
            )
        rest = (0,) * (LENGTH - 1)
        return (self._places[name], *rest), (1, *rest)


class Tokenizer:
    """Reads a prompt exactly as transformers' CLIPTokenizer does; the vocabulary is read once."""

    def __init__(self, folder: Path) -> None:
        """Of `folder`/vocab.json and merges.txt.

        Raises ValueError if they are not CLIP's, and what tokenizers raises for a file that it cannot read.
        """
        ids, merges = BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
        if missing := {_START, _END} - ids.keys():
            raise ValueError(f"{folder / 'vocab.json'} is no CLIP vocabulary: no {min(missing)}")
        self._pipeline = Pipeline(BPE(ids, merges, unk_token=_END, end_of_word_suffix="</w>"))
        self._pipeline.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._pipeline.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(_WORD, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self._pipeline.add_special_tokens([AddedToken(token, normalized=False) for token in (_START, _END)])
        self._pipeline.post_processor = processors.BertProcessing((_END, ids[_END]), (_START, ids[_START]))
        self._pipeline.enable_padding(length=LENGTH, pad_id=ids[_END], pad_token=_END)

    def encode(self, prompt: str) -> Tokens:
        """Token ids and attention mask, 32 each: start, prompt, end, then the end's id, masked.

        Raises PromptError for a prompt of more than 30 tokens.
        """
        tokens = self._pipeline.encode(prompt)
        if len(tokens.ids) > LENGTH:
            raise PromptError(
                f"The prompt is {len(tokens.ids) - 2} tokens long; the text encoder reads {LENGTH - 2}: shorten it."
            )
        return tuple(tokens.ids), tuple(tokens.attention_mask)

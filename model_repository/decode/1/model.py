"""Triton's `decode`: a file's bytes → its pixels, the networks' inputs and the prompt's tokens."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

# Triton appends this folder to the path; in front, no installed package can take a name of ours.
sys.path.insert(0, str(Path(__file__).parent))

from contract.decoding import VARIABLE, Note
from contract.light import LIGHT, SCENE, check_rows, position
from contract.limits import check_memory, check_thresholds, missing_pattern
from contract.versions import REPORT, newest_version
from photo import PhotoError, read_photo
from squares import write_squares
from tokenizer import PromptError, read_prompt, read_vocabulary

Arrays = dict[str, npt.NDArray[Any]]
Pixels = npt.NDArray[np.uint8]
INPUTS = ("IMAGE", "PROMPT", "THRESHOLDS", LIGHT, SCENE)
SQUARES = {"SEGMENT_PIXELS": 1008, "ALBEDO_PIXELS": 768, "SHADOW_PIXELS": 518}  # largest first


class NumberError(ValueError):
    """A number of the request is none that a light can have. The message is one sentence for its sender."""


class TritonPythonModel:
    """Answers each request on its own: a broken file fails the request that sent it, no other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters, and what segment reads prompts with."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        values = {name: entry["string_value"] for name, entry in parameters.items()}
        self.background_gray = int(values.get("background_gray", "128"))
        self.max_memory = float(values.get("max_memory_megabytes", "3000"))
        self.max_megapixels = float(values.get("max_megapixels", "100"))
        self.vocabulary = read_vocabulary(Path(__file__).parent)
        self.shadow = Path(args["model_repository"]).with_name("shadow")
        self.patterns = _read_patterns(self.shadow)
        folder = os.environ.get(VARIABLE)
        self.note = Note(Path(folder)) if folder else None

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response per request, in order."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        arrays = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS}
        try:
            photos = self._photos(arrays)
            self._check_numbers(arrays)
            outputs = self._outputs(photos, arrays["PROMPT"].reshape(-1))
        except (PhotoError, PromptError, NumberError) as error:
            # The caller's fault: HTTP 400, gRPC INVALID_ARGUMENT.
            refusal = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refusal)
        except Exception as error:  # ours; raised, it would fail the other requests of the batch too
            pb_utils.Logger.log_error(traceback.format_exc())
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"decode has failed: {error}"))
        finally:
            if self.note:
                self.note.end()
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items()]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _photos(self, arrays: Arrays) -> list[Pixels]:
        """The photos of a request, of one size that fits memory with its lights. Raises PhotoError, NumberError."""
        lights, scenes = arrays[LIGHT].shape[1], arrays[SCENE].shape[1]
        if lights != scenes or not lights:
            raise NumberError(
                f"LIGHT has {lights} rows a photo and SCENE {scenes}: send one of each for every picture."
            )
        photos: list[Pixels] = []
        for data in arrays["IMAGE"].reshape(-1):
            photo = self._photo(data)
            height, width = photo.shape[:2]
            first = photos[0] if photos else photo
            if photo.shape != first.shape:
                raise PhotoError(
                    f"The photos of one request differ in size ({first.shape[1]} x {first.shape[0]} and "
                    f"{width} x {height}): send each in a request of its own."
                )
            with _refused():
                check_memory(lights, width, height, self.max_memory)
            photos.append(photo)
        return photos

    def _outputs(self, photos: list[Pixels], prompts: npt.NDArray[Any]) -> Arrays:
        """All outputs of one request, [batch, …]. Raises PromptError."""
        tokens = [self.vocabulary.encode(read_prompt(prompt)) for prompt in prompts]
        height, width = photos[0].shape[:2]
        count = len(photos)
        squares = {name: np.empty((count, 3, side, side), np.uint8) for name, side in SQUARES.items()}
        for index, photo in enumerate(photos):
            write_squares(photo, [batch[index] for batch in squares.values()])
        return {
            "ORIGINAL": photos[0][np.newaxis] if count == 1 else np.stack(photos),
            **squares,
            "TOKENS": np.array([ids for ids, _ in tokens], np.int64),
            "TOKEN_MASK": np.array([mask for _, mask in tokens], np.int64),
            "ASPECT": np.full((count, 1), width / height, np.float32),
        }

    def _photo(self, data: bytes) -> Pixels:
        """The pixels of one file, uint8 [H,W,3]. Raises PhotoError."""
        if self.note and not self.note.begin(data):
            raise PhotoError(
                "This photo ends the decoder: the process that read it died, and so did the next one. Save it again as "
                "JPEG or PNG with another program, or leave it out."
            )
        return read_photo(data, self.max_megapixels, self.background_gray)

    def _check_numbers(self, arrays: Arrays) -> None:
        """Raise NumberError where LIGHT, SCENE or THRESHOLDS hold what no picture can be made with."""
        with _refused():
            check_thresholds(arrays["THRESHOLDS"].ravel().tolist())
            for name in (LIGHT, SCENE):
                check_rows(name, arrays[name].reshape(-1, arrays[name].shape[2]).tolist())
            self._check_pattern(int(arrays[LIGHT][:, :, position("pattern_id")].max()))

    def _check_pattern(self, largest: int) -> None:
        """Raise ValueError where `shadow` has no such pattern; an upgrade may have brought more since the start."""
        if self.patterns is not None and largest > len(self.patterns):
            self.patterns = _read_patterns(self.shadow)
            if self.patterns is not None and largest > len(self.patterns):
                raise ValueError(missing_pattern(largest, self.patterns))


@contextmanager
def _refused() -> Iterator[None]:
    """Within the block a ValueError, a sentence of the contract, is the sender's fault."""
    try:
        yield
    except ValueError as error:
        raise NumberError(f"{error}.") from error


def _read_patterns(shadow: Path) -> list[str] | None:
    """The names of the patterns by id from 1, as the newest export of `shadow` has them; None where it does not say."""
    newest = newest_version(shadow, REPORT)
    names: list[str] | None = json.loads((newest / REPORT).read_text("utf-8")).get("patterns") if newest else None
    return names

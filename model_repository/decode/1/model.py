"""Triton's `decode`: a file's bytes → its pixels, the networks' inputs and the prompt's tokens."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

# Triton appends this folder to the path; in front, no installed package can take a name of ours.
sys.path.insert(0, str(Path(__file__).parent))

from contract.decoding import VARIABLE, Note
from contract.light import LIGHT, SCENE, check_rows
from photo import PhotoError, Pixels, read_photo
from squares import write_squares
from tokenizer import PromptError, read_prompt, read_vocabulary

SQUARES = {"SEGMENT_PIXELS": 1008, "ALBEDO_PIXELS": 768, "SHADOW_PIXELS": 518}  # largest first


class NumberError(ValueError):
    """A number of the request is none that a light can have. The message is one sentence for its sender."""


class TritonPythonModel:
    """Answers each request on its own: a broken file fails the request that sent it, no other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters, and what segment reads prompts with."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        values = {name: entry["string_value"] for name, entry in parameters.items()}
        self.max_megapixels = float(values.get("max_megapixels", "100"))
        self.background_gray = int(values.get("background_gray", "128"))
        self.vocabulary = read_vocabulary(Path(__file__).parent)
        folder = os.environ.get(VARIABLE)
        self.note = Note(Path(folder)) if folder else None

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response per request, in order."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        images = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().reshape(-1)
        prompts = pb_utils.get_input_tensor_by_name(request, "PROMPT").as_numpy().reshape(-1)
        try:
            _check_numbers(request)
            outputs = self._outputs(list(images), list(prompts))
        except (PhotoError, PromptError, NumberError) as error:
            # The caller's fault: HTTP 400, gRPC INVALID_ARGUMENT. Any other error is raised, and ours.
            refusal = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refusal)
        finally:
            if self.note:
                self.note.end()
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items()]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _outputs(self, images: list[bytes], prompts: list[bytes]) -> dict[str, npt.NDArray[np.generic]]:
        """All outputs of one request, [batch, …]. Raises PhotoError or PromptError."""
        tokens = [self.vocabulary.encode(read_prompt(prompt)) for prompt in prompts]
        photos = [self._photo(data) for data in images]
        height, width = photos[0].shape[:2]
        for photo in photos:
            if photo.shape != photos[0].shape:
                raise PhotoError(
                    f"The photos of one request differ in size ({width} x {height} and "
                    f"{photo.shape[1]} x {photo.shape[0]}): send each in a request of its own."
                )
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


def _check_numbers(request: pb_utils.InferenceRequest) -> None:
    """Raise NumberError where LIGHT, SCENE or THRESHOLDS hold what no picture can be made with."""
    light, scene, thresholds = (
        pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in (LIGHT, SCENE, "THRESHOLDS")
    )
    if light.shape[1] != scene.shape[1] or not light.shape[1]:
        raise NumberError(
            f"LIGHT has {light.shape[1]} rows a photo and SCENE {scene.shape[1]}: send one of each for every picture."
        )
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise NumberError(f"THRESHOLDS (score, mask) must be numbers from 0 to 1, not {thresholds.tolist()}.")
    try:
        for name, rows in ((LIGHT, light), (SCENE, scene)):
            check_rows(name, rows.reshape(-1, rows.shape[2]).tolist())
    except ValueError as error:
        raise NumberError(f"{error}.") from error

"""Triton's `decode`: a file's bytes → its pixels, the networks' inputs and the prompt's tokens."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

# Triton appends this folder to the path; in front, no installed package can take a name of ours.
sys.path.insert(0, str(Path(__file__).parent))

from contract.decoding import VARIABLE, Note
from contract.files import Files, FilesError, parse_files
from contract.light import BACKGROUNDS, LIGHT, SCENE, check_rows, position
from contract.limits import check_memory, check_thresholds, missing_pattern
from contract.photos import PhotoRules
from contract.versions import REPORT, newest_version
from cover import cover
from framing import Framed, fit
from photo import PhotoError, open_photo
from reading import Photo, Reading
from squares import write_squares
from tokenizer import PromptError, read_prompt, read_vocabulary

Arrays = dict[str, npt.NDArray[Any]]
Pixels = npt.NDArray[np.uint8]
INPUTS = ("IMAGE", "PROMPT", "THRESHOLDS", LIGHT, SCENE, "FILES", "BACKDROP")
SQUARES = {"SEGMENT_PIXELS": 1008, "ALBEDO_PIXELS": 768, "SHADOW_PIXELS": 518}  # largest first


SHARED = ("arithmetic", "background")  # numbers of SCENE that all pictures of a photo have in common


class NumberError(ValueError):
    """The numbers of the request are none that pictures can be made with. The message is a sentence for its sender."""


class TritonPythonModel:
    """Answers each request on its own: a broken file fails the request that sent it, no other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters, and what segment reads prompts with."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        values = {name: entry["string_value"] for name, entry in parameters.items()}
        self.max_memory = float(values.get("max_memory_megabytes", "3000"))
        self.reading = Reading(
            max_megapixels=float(values.get("max_megapixels", "100")),
            background_gray=int(values.get("background_gray", "128")),
        )
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
            files = read_files(arrays["FILES"].reshape(-1))
            framed = self._photos(arrays, [one.photo for one in files])
            self._check_numbers(arrays)
            photos = [one.pixels for one in framed]
            outputs = self._outputs(photos, arrays["PROMPT"].reshape(-1))
            outputs |= {
                "FRAME": np.array([one.frame for one in framed], np.int32),
                "PLANES": np.array([one.planes for one in files], np.int32),
                "BACKDROP_PIXELS": self._backdrops(photos, arrays),
            }
        except (PhotoError, PromptError, NumberError, FilesError) as error:
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

    def _photos(self, arrays: Arrays, rules: list[PhotoRules]) -> list[Framed]:
        """The photos of a request, of one size that fits memory with its lights. Raises PhotoError, NumberError."""
        lights, scenes = arrays[LIGHT].shape[1], arrays[SCENE].shape[1]
        if lights != scenes or not arrays[LIGHT].size:
            raise NumberError(
                f"LIGHT has the sources of {lights} pictures, {arrays[LIGHT].shape[2]} of each, and SCENE has {scenes} "
                "rows: send a row and at least one source, which may be of intensity 0, for every picture."
            )
        photos: list[Framed] = []
        for data, asked in zip(arrays["IMAGE"].reshape(-1), rules, strict=True):
            least = (asked.size, asked.size) if asked.size else None
            photo = fit(self._photo(data, replace(self.reading, rules=asked, least=least)), asked)
            height, width = photo.pixels.shape[:2]
            first = (photos[0] if photos else photo).pixels
            if photo.pixels.shape != first.shape:
                raise PhotoError(
                    f"The photos of one request differ in size ({first.shape[1]} x {first.shape[0]} and "
                    f"{width} x {height}): send each in a request of its own."
                )
            pictures, sources = arrays[LIGHT].shape[1:3]
            with _refused():
                check_memory(pictures, sources, width, height, self.max_memory)
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

    def _photo(self, data: bytes, how: Reading) -> Photo:
        """One file, decoded. Raises PhotoError."""
        if self.note and not self.note.begin(data):
            raise PhotoError(
                "This photo ends the decoder: the process that read it died, and so did the next one. Save it again as "
                "JPEG or PNG with another program, or leave it out."
            )
        return open_photo(data, how)

    def _backdrops(self, photos: list[Pixels], arrays: Arrays) -> Pixels:
        """BACKDROP_PIXELS: the pictures behind the photos, cut to their size, or one pixel each. Raises PhotoError."""
        files = arrays["BACKDROP"].reshape(-1)
        backgrounds = arrays[SCENE][:, 0, position("background")]
        wanted = [BACKGROUNDS[int(background)] == "picture" for background in backgrounds]
        for is_wanted, file in zip(wanted, files, strict=True):
            if is_wanted and not file:
                raise NumberError("SCENE's background is 3, \"picture\", and BACKDROP is empty: send a picture's file.")
            if file and not is_wanted:
                raise NumberError('BACKDROP is a picture that nothing uses: make SCENE\'s background 3, "picture".')
        if not any(wanted):
            return np.zeros((len(photos), 1, 1, 3), np.uint8)
        height, width = photos[0].shape[:2]
        pixels = np.zeros((len(photos), height, width, 3), np.uint8)
        for index in np.flatnonzero(wanted):
            try:
                picture = self._photo(files[index], replace(self.reading, least=(width, height)))
                pixels[index] = cover(picture.pixels, width, height)
            except PhotoError as error:
                reason = str(error)
                raise PhotoError(f"The background picture cannot be used: {reason[0].lower()}{reason[1:]}") from error
        return pixels

    def _check_numbers(self, arrays: Arrays) -> None:
        """Raise NumberError where LIGHT, SCENE or THRESHOLDS hold what no picture can be made with."""
        with _refused():
            check_thresholds(arrays["THRESHOLDS"].ravel().tolist())
            for name in (LIGHT, SCENE):
                check_rows(name, arrays[name].reshape(-1, arrays[name].shape[-1]).tolist(), arrays[LIGHT].shape[2])
            check_shared(arrays[SCENE])
            self._check_pattern(int(arrays[LIGHT][..., position("pattern_id")].max()))

    def _check_pattern(self, largest: int) -> None:
        """Raise ValueError where `shadow` has no such pattern; an upgrade may have brought more since the start."""
        if self.patterns is not None and largest > len(self.patterns):
            self.patterns = _read_patterns(self.shadow)
            if self.patterns is not None and largest > len(self.patterns):
                raise ValueError(missing_pattern(largest, self.patterns))


def read_files(texts: npt.NDArray[Any]) -> list[Files]:
    """What FILES asks for of each photo; one depth of all. Raises FilesError."""
    files = [parse_files(text.decode("utf-8", "backslashreplace")) for text in texts]
    if len({one.planes for one in files}) > 1:
        raise FilesError("FILES asks for 8 bits for one photo and 16 for another: send each in a request of its own.")
    return files


def check_shared(scenes: npt.NDArray[np.float32]) -> None:
    """Raise ValueError, a sentence, where pictures of one photo differ in a number that is one for all: [B,K,32]."""
    for name in SHARED:
        numbers = scenes[..., position(name)]
        if (numbers != numbers[:, :1]).any():
            raise ValueError(f"SCENE's {name} is one for all pictures of a photo: send other ones in another request")


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

"""Relighting from Python: a photo and lights in, arrays out. For notebooks and online use.

    from client import relight

    relit = relight("portrait.jpg", lights=[{"light_azimuth": 0, "pattern": "window"}], files=("output", "mask"))
    relit.output[0]  # uint8 [H,W,3]

Everything here is synchronous, so it works where an event loop already runs, as in Jupyter.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2_grpc

from client.errors import RowError
from client.light.columns import LIGHT_NAMES, Overrides, nearest, parse_overrides
from client.light.distributions import LIGHTING_FILE, SettingsError, read_lighting
from client.light.draw import draw_light, light_seed
from client.light.light import COLUMNS, Light, check_patterns, light_of_row, light_tensors, named_light, server_patterns
from client.output.plan import Plan, parse_pictures
from client.triton.pixels import Pixels, bitmap, decode
from client.triton.request import (
    MASK_THRESHOLD,
    MESSAGE_SIZES,
    PROMPT,
    SCORE_THRESHOLD,
    TIMEOUT,
    URL,
    Reply,
    photo_request,
    request_template,
    unpack,
)
from contract.errors import plain
from contract.names import PER_LIGHT

_LAST_ANSWERS_SECONDS = 60.0  # that a connection stays open for late answers

Photo = str | os.PathLike[str] | bytes | Pixels
OneLight = Light | Mapping[str, Any] | NDArray[Any]
Lights = int | OneLight | Sequence[OneLight] | None


class RelightError(Exception):
    """The photo could not be relit; the message is one sentence with the reason and the remedy."""


@dataclass(frozen=True)
class Relit:
    """One photo relit by K lights. A picture that was not asked for raises RelightError when it is read."""

    pictures: Mapping[str, Pixels]  # by name; sRGB
    lights: list[dict[str, Any]]  # K entries as metadata.json has them; each may be given to `relight` again
    info: dict[str, Any]  # score, box (xyxy, 0-1), count, residual, width, height, models

    @property
    def output(self) -> Pixels:
        """The relit person over the gray background, uint8 [K,H,W,3]."""
        return self._picture("output")

    @property
    def degraded(self) -> Pixels:
        """The relit person over black, uint8 [K,H,W,3]."""
        return self._picture("degraded")

    @property
    def albedo(self) -> Pixels:
        """The photo without its light, uint8 [H,W,3]."""
        return self._picture("albedo")

    @property
    def mask(self) -> Pixels:
        """The person, uint8 [H,W], 255 inside."""
        return self._picture("mask")

    @property
    def foreground(self) -> Pixels:
        """The untouched person over the gray background, uint8 [H,W,3]."""
        return self._picture("foreground")

    @property
    def background(self) -> Pixels:
        """The photo with the person painted over in gray, uint8 [H,W,3]."""
        return self._picture("background")

    def _picture(self, name: str) -> Pixels:
        if name not in self.pictures:
            raise RelightError(f"{name} was not asked for; add it to files")
        return self.pictures[name]


class Relighter:
    """Relights photos over one connection, which closes at the end of a `with` block. Thread-safe.

    No call is cancelled, because that can crash Triton before 24.12 (server#7368): the connection stays open until late
    answers have come.
    """

    def __init__(
        self, url: str = URL, *, lighting: str | os.PathLike[str] = LIGHTING_FILE, timeout: float = TIMEOUT
    ) -> None:
        """`url` is the server's gRPC address, host:port; `lighting` the file with the lights' distributions.

        `timeout` is in seconds per photo. Raises RelightError if the lighting file cannot be used.
        """
        try:
            self._lighting = read_lighting(Path(lighting))
        except SettingsError as error:
            raise RelightError(str(error)) from error
        self._url, self._timeout = url, timeout
        self._channel = grpc.insecure_channel(url, options=MESSAGE_SIZES)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._answers = threading.Condition()
        self._unanswered = 0  # calls

    def __enter__(self) -> Relighter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection as soon as no answer is missing; a program that ends waits for that, up to a minute."""
        if self._unanswered:
            threading.Thread(target=self._close_when_answered).start()
        else:
            self._channel.close()

    def __call__(
        self,
        photo: Photo,
        *,
        prompt: str = PROMPT,
        lights: Lights = None,
        seed: int = 0,
        files: str | Sequence[str] = ("output",),
        score_threshold: float = SCORE_THRESHOLD,
        mask_threshold: float = MASK_THRESHOLD,
    ) -> Relit:
        """Relight one photo. Arguments and errors are those of `relight`."""
        try:
            plan_files = parse_pictures(files if isinstance(files, str) else ",".join(files))
            image, path = _read_photo(photo)
            chosen = self._lights(lights, seed, path)
            plan = Plan(pictures=plan_files, variants=len(chosen))
            template = request_template((score_threshold, mask_threshold), plan.request(), plan.pictures)
            reply = self._ask(photo_request(template, image, prompt, light_tensors(chosen)), plan)
            patterns = server_patterns(reply.info)
            check_patterns(chosen, patterns)
            decoded = {name: [decode(image) for image in images] for name, images in reply.pictures.items()}
            pictures = {name: np.stack(all_k) if name in PER_LIGHT else all_k[0] for name, all_k in decoded.items()}
        except (ValueError, RowError, ImportError) as error:
            raise RelightError(str(error)) from error
        return Relit(pictures, [light.named(patterns) for light in chosen], reply.info)

    def _ask(self, request: Any, plan: Plan) -> Reply:
        with self._answers:
            self._unanswered += 1
        call = self._stub.ModelInfer.future(request)
        call.add_done_callback(self._answered)
        try:
            answer = call.result(timeout=self._timeout)
        except grpc.FutureTimeoutError as error:
            raise RelightError(f"the server did not answer within {self._timeout:g} s; raise timeout") from error
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise RelightError(
                    f"no server answers at {self._url} ({plain(error.details())}); start one with `python -m server`"
                ) from error
            raise RelightError(plain(error.details())) from error
        return unpack(answer, {name: plan.count(name) for name in plan.pictures})

    def _answered(self, call: grpc.Future) -> None:
        with self._answers:
            self._unanswered -= 1
            self._answers.notify_all()

    def _close_when_answered(self) -> None:
        with self._answers:
            self._answers.wait_for(lambda: not self._unanswered, _LAST_ANSWERS_SECONDS)
        self._channel.close()

    def _lights(self, lights: Lights, seed: int, path: str) -> list[Light]:
        """The requested lights; missing values are drawn. Raises ValueError."""
        if lights is None or isinstance(lights, int):
            asked: Sequence[OneLight] = [{}] * (1 if lights is None else lights)
        elif isinstance(lights, Light | Mapping):
            asked = [lights]
        elif isinstance(lights, np.ndarray):
            asked = list(np.atleast_2d(lights))
        else:
            asked = lights
        if not len(asked):
            raise ValueError("lights must hold at least one light")
        return [self._light(one, light_seed(seed, path, k)) for k, one in enumerate(asked)]

    def _light(self, asked: OneLight, seed: str) -> Light:
        if isinstance(asked, Light):
            return asked
        if not isinstance(asked, Mapping):
            return light_of_row(asked)
        if asked.keys() >= set(COLUMNS):
            return named_light(asked)
        return draw_light(self._lighting, seed, _overrides(asked))


def relight(
    photo: Photo,
    *,
    prompt: str = PROMPT,
    lights: Lights = None,
    seed: int = 0,
    url: str = URL,
    files: str | Sequence[str] = ("output",),
    score_threshold: float = SCORE_THRESHOLD,
    mask_threshold: float = MASK_THRESHOLD,
    lighting: str | os.PathLike[str] = LIGHTING_FILE,
    timeout: float = TIMEOUT,
) -> Relit:
    """Relight one photo on the server at `url`. For many photos, keep the connection: `with Relighter(url) as relight`.

    Args:
        photo: the path or the bytes of an image file, or its sRGB pixels, uint8 [H,W,3].
        prompt: whom to cut out.
        lights: None for one drawn light, K for K of them, or the lights. Each is a dict of fixed values by the names of
            the CSV's columns (`light_azimuth`, `pattern`, `light_color`, …; the rest is drawn), an entry of `lights`
            in metadata.json or an earlier result, a `Light`, or a row of LIGHT. LIGHT, float [K,16], is taken too,
            also with SCENE beside it, [K,48].
        seed: draws the lights, together with the photo's path as given, so a CSV's row gets the same light. Bytes
            and pixels have no path: give each its own seed.
        url: the server's gRPC address, host:port.
        files: which pictures to send back: output, degraded, albedo, mask, foreground, background.
        score_threshold: lowest score of a detection, 0-1.
        mask_threshold: lowest mask value that counts as the person, 0-1.
        lighting: the file with the distributions that lights are drawn from.
        timeout: seconds to wait for the answer.

    Raises RelightError: nothing was found, the photo or an argument cannot be used, or no server answers.
    """
    with Relighter(url, lighting=lighting, timeout=timeout) as relighter:
        return relighter(
            photo,
            prompt=prompt,
            lights=lights,
            seed=seed,
            files=files,
            score_threshold=score_threshold,
            mask_threshold=mask_threshold,
        )


def _overrides(asked: Mapping[str, Any]) -> Overrides:
    """Parse a dict's values like the cells of a CSV. Raises ValueError."""
    for name in asked:
        if name not in LIGHT_NAMES:
            meant = nearest(name, LIGHT_NAMES)
            hint = f"did you mean {meant}?" if meant else f"choose from {', '.join(LIGHT_NAMES)}"
            raise ValueError(f"a light has no {name}; {hint}")
    return parse_overrides(
        {
            name: str(value) if np.ndim(value) == 0 else " ".join(str(number) for number in value)
            for name, value in asked.items()
            if value is not None
        }
    )


def _read_photo(photo: Photo) -> tuple[bytes, str]:
    """The bytes of an image file, and its path or an empty text. Raises ValueError."""
    if isinstance(photo, bytes):
        return photo, ""
    if isinstance(photo, np.ndarray):
        return bitmap(photo), ""
    try:
        return Path(photo).read_bytes(), os.fspath(photo)
    except OSError as error:
        raise ValueError(f"the photo {os.fspath(photo)} cannot be read ({error.strerror})") from error

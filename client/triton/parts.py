"""The requests of one photo: one for all its lights or, where the server's memory does not hold them, several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from client.errors import PassingError, RowError
from client.triton.request import Reply, photo_request, request_template, unpack
from contract.limits import allowed_pictures
from contract.names import PER_LIGHT

Pictures = dict[str, list[memoryview]]


class Store(Protocol):
    """Keeps the files of a photo's answers."""

    def add(self, pictures: Pictures) -> None:
        """Keep the files of one answer."""

    def all(self) -> Pictures:
        """Every file by picture, in the order of the lights."""


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self._pictures: Pictures = {}

    def add(self, pictures: Pictures) -> None:
        """See Store."""
        for name, files in pictures.items():
            self._pictures.setdefault(name, []).extend(files)

    def all(self) -> Pictures:
        """See Store."""
        return self._pictures


class Templates:
    """What the requests of a run share. A photo's later requests leave out the pictures that no light changes."""

    def __init__(self, thresholds: Sequence[float], files: str, pictures: Sequence[str]) -> None:
        """`thresholds` are score and mask, each 0-1; `files` the FILES input; `pictures` the names in it."""
        self.first = tuple(pictures)
        self.later = tuple(name for name in pictures if name in PER_LIGHT)
        form = files.partition(";")[2]
        self._requests = {
            names: request_template(thresholds, f"{','.join(names)};{form}", names)
            for names in (self.first, self.later)
        }

    def request(
        self, names: tuple[str, ...], image: bytes, prompt: str, lights: Mapping[str, NDArray[Any]], backdrop: bytes
    ) -> Any:
        """The request for the pictures `names`, which are `first` or `later`."""
        return photo_request(self._requests[names], image, prompt, lights, backdrop)


class PhotoParts:
    """Asks for all lights at once, and for as many as the server allows where it refuses that.

    Attributes:
        request: the one to be sent next.
        is_last: whether its answer is the last one.
    """

    def __init__(
        self,
        templates: Templates,
        image: bytes,
        prompt: str,
        lights: Mapping[str, NDArray[np.float32]],
        backdrop: bytes = b"",
        store: Store | None = None,
    ) -> None:
        """`lights` are LIGHT [1,K,L,16] and SCENE [1,K,32], `backdrop` is the file of the picture behind the person.

        `store` keeps the files if there are several answers.
        """
        self._templates, self._image, self._prompt, self._lights = templates, image, prompt, lights
        self._backdrop = backdrop
        self._store = store or Memory()
        self._count = self._most = len(next(iter(lights.values()))[0])
        self._start = 0
        self._info: dict[str, Any] | None = None  # of the first answer
        self._prepare()

    def refused(self, error: RowError) -> None:
        """Ask for fewer lights at once. Raises the error itself if it is not about their number."""
        most = allowed_pictures(str(error))
        if most is None or most >= self._stop - self._start:
            raise error
        self._most = most
        self._prepare()

    def take(self, answer: Any) -> Reply | None:
        """Add an answer; return the whole reply after the last one. Raises RowError where an answer does not fit."""
        lights = self._stop - self._start
        part = unpack(answer, {name: lights if name in PER_LIGHT else 1 for name in self._names})
        if self.is_last and self._info is None:
            return part
        self._info = self._info or part.info
        if self._info.get("models") != part.info.get("models"):
            raise PassingError("the server's networks were exchanged while the photo was relit; repeat the command")
        self._store.add(part.pictures)
        if self.is_last:
            return Reply(self._store.all(), self._info)
        self._start = self._stop
        self._prepare()
        return None

    def _prepare(self) -> None:
        self._names = self._templates.later if self._start else self._templates.first
        self._stop = min(self._start + self._most, self._count)
        self.is_last = self._stop == self._count or not self._templates.later
        rows = {name: values[:, self._start : self._stop] for name, values in self._lights.items()}
        self.request = self._templates.request(self._names, self._image, self._prompt, rows, self._backdrop)

"""Ways to spoil a request: tensors missing or unknown, of other types, shapes and values, outputs that do not exist."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.utils import np_to_triton_dtype

from contract.light import BACKGROUNDS, WIDTHS, position

Tensors = dict[str, npt.NDArray[Any]]

LARGEST = 200  # lights that a small photo may have on a machine of 16 GB
_LARGEST = 4_000_000  # elements of a spoiled tensor
_SIZES = (0, 1, 2, 3, 5, 17)
_TYPES = (np.float32, np.float64, np.float16, np.uint8, np.int32, np.int64, np.bool_, np.object_)
_NUMBERS = (0, 1, -1, 0.5, 255, 1e30, -1e30, float("nan"), float("inf"), float("-inf"), 2**31, 99)
_TEXTS = (
    *(b"", b"person", b"\xff\xfe\x00", b"a" * 100_000, "影".encode(), b"none;png", b"all", b"output,output;png"),
    *(b"mask;jpeg:0", b"output;webp:101", b";", b"mask;png;png", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff"),
    *(b"", b"output,normal,depth;png:16", b"shading,alpha,environment;exr", b"environment", b"output,foreground;exr"),
)


@dataclass(frozen=True)
class Request:
    """The inputs of one request, the outputs that it names (none for all), and how it was spoiled."""

    model: str
    tensors: Tensors
    outputs: tuple[str, ...] = ()
    ways: tuple[str, ...] = field(default=())

    def datatype(self, name: str) -> str:
        """Triton's name of a tensor's type."""
        return str(np_to_triton_dtype(self.tensors[name].dtype))

    def __str__(self) -> str:
        return f"{self.model} ({', '.join(self.ways) or 'as it is'})"


def spoil(request: Request, rng: random.Random) -> Request:
    """Change a request in up to three ways; now and then in none."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        request = rng.choice(_WAYS)(request, rng)
    return request


def change(request: Request, name: str, array: npt.NDArray[Any], way: str) -> Request:
    """The request with another tensor in one place, if that is not too large."""
    if array.size > _LARGEST:
        return request
    told = (*request.ways, f"{name} {way} {array.dtype}{list(array.shape)}")
    return replace(request, tensors={**request.tensors, name: np.ascontiguousarray(array)}, ways=told)


def set_type(request: Request, rng: random.Random) -> Request:
    """A tensor of another type."""
    name = rng.choice(list(request.tensors))
    kind = rng.choice(_TYPES)
    old = request.tensors[name]
    if old.dtype == np.object_ or kind == np.object_:
        new = np.full(old.shape, b"7", np.object_) if kind == np.object_ else np.zeros(old.shape, kind)
        return change(request, name, new, "as")
    with np.errstate(all="ignore"):
        return change(request, name, old.astype(kind), "as")


def set_shape(request: Request, rng: random.Random) -> Request:
    """A tensor with one size changed, or a dimension more or less."""
    name = rng.choice(list(request.tensors))
    shape = list(request.tensors[name].shape)
    way = rng.randrange(4)
    if way == 0:
        shape.insert(rng.randrange(len(shape) + 1), rng.choice((1, 2)))
    elif way == 1 and len(shape) > 1:
        del shape[rng.randrange(len(shape))]
    else:
        shape[rng.randrange(len(shape))] = rng.choice(_SIZES)
    return change(request, name, resized(request.tensors[name], shape), "shaped")


def set_batch(request: Request, rng: random.Random) -> Request:
    """All tensors for another number of photos."""
    count = rng.choice((0, 2, 3, 17))
    for name, array in request.tensors.items():
        request = change(request, name, resized(array, [count, *array.shape[1:]]), "batched")
    return request


def set_pictures(request: Request, rng: random.Random) -> Request:
    """Another number of pictures, K, in every tensor that has it."""
    # decode limits K by the memory that the photo takes; the models after it take what they are given.
    return with_lights(request, rng.choice((0, 2, 3, 4, LARGEST, 1000) if "IMAGE" in request.tensors else (0, 2, 3, 4)))


def with_lights(request: Request, count: int) -> Request:
    """The request for `count` pictures."""
    for name in ("LIGHT", "SCENE", "SHADING", "OUTPUT_PIXELS", "DEGRADED_PIXELS"):
        if name in request.tensors:
            array = request.tensors[name]
            request = change(request, name, resized(array, [array.shape[0], count, *array.shape[2:]]), "K")
    return request


def set_sources(request: Request, rng: random.Random) -> Request:
    """Another number of sources, L, in every picture."""
    if "LIGHT" not in request.tensors:
        return request
    array = request.tensors["LIGHT"]
    shape = [*array.shape[:2], rng.choice((0, 2, 3, 8)), *array.shape[3:]]
    return change(request, "LIGHT", resized(array, shape), "L")


def set_background(request: Request, rng: random.Random) -> Request:
    """Another background behind every picture, with its file or without."""
    if "SCENE" not in request.tensors or request.tensors["SCENE"].shape[-1] != WIDTHS["SCENE"]:
        return request
    scene = request.tensors["SCENE"].copy()
    scene[..., position("background")] = rng.randrange(len(BACKGROUNDS))
    request = change(request, "SCENE", scene, "background")
    if "BACKDROP" in request.tensors and "IMAGE" in request.tensors and rng.random() < 0.5:
        request = change(request, "BACKDROP", request.tensors["IMAGE"], "=")
    return request


def set_values(request: Request, rng: random.Random) -> Request:
    """A tensor with one element, or all, of another value."""
    name = rng.choice(list(request.tensors))
    array = request.tensors[name].copy()
    if not array.size:
        return request
    if array.dtype == np.object_:
        value: Any = rng.choice((*_TEXTS, rng.randbytes(40)))
    else:
        with np.errstate(all="ignore"):
            value = np.array(rng.choice(_NUMBERS)).astype(array.dtype)
    if rng.random() < 0.5:
        array[...] = value
    else:
        array.reshape(-1)[rng.randrange(array.size)] = value
    return change(request, name, array, f"= {str(value)[:20]}")


def drop(request: Request, rng: random.Random) -> Request:
    """A tensor less."""
    name = rng.choice(list(request.tensors))
    left = {key: array for key, array in request.tensors.items() if key != name}
    return replace(request, tensors=left, ways=(*request.ways, f"without {name}")) if left else request


def rename(request: Request, rng: random.Random) -> Request:
    """A tensor under a name that the model does not know."""
    name = rng.choice(list(request.tensors))
    renamed = {f"{key}_2" if key == name else key: array for key, array in request.tensors.items()}
    return replace(request, tensors=renamed, ways=(*request.ways, f"{name} renamed"))


def name_outputs(request: Request, rng: random.Random) -> Request:
    """Some outputs asked for, perhaps one that does not exist."""
    outputs = tuple(rng.sample(("INFO", "MASK", "OUTPUT", "ALBEDO", "ASPECT", "SCORE", "NOTHING"), rng.choice((1, 2))))
    return replace(request, outputs=outputs, ways=(*request.ways, f"outputs {'+'.join(outputs)}"))


def resized(array: npt.NDArray[Any], shape: list[int]) -> npt.NDArray[Any]:
    """The array's elements, repeated or cut, in another shape; empty where it is too large to be sent."""
    if int(np.prod(shape)) > _LARGEST or not array.size:
        return array
    return np.resize(array, shape)


_SIZED = (set_type, set_shape, set_batch, set_pictures, set_sources)
_WAYS = (*_SIZED, set_background, *(set_values,) * 4, *(drop, rename, name_outputs))

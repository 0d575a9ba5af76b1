"""Ways to damage a file: blind ones that fit every format, and some that know a PNG's chunks and a TIFF's directory."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from tests.fuzz.samples import chunk

Mutation = Callable[[bytearray, random.Random], bytearray]

_HEADER = 200  # bytes in which most formats keep what they say of themselves
_NUMBERS = (0, 1, 2, 3, 7, 8, 16, 255, 256, 65535, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage a file in one to three ways."""
    file = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        ways = [*_BLIND]
        if file.startswith(_SIGNATURE):
            ways += _PNG * 3
        elif file.startswith((b"II*\0", b"MM\0*")):
            ways += _TIFF * 6
        file = rng.choice(ways)(file, rng)
    return bytes(file)


def flip_bits(file: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 1, 4, 16)) if file else 0):
        file[rng.randrange(len(file))] ^= 1 << rng.randrange(8)
    return file


def edit_header(file: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 3)) if file else 0):
        file[rng.randrange(min(_HEADER, len(file)))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return file


def set_number(file: bytearray, rng: random.Random) -> bytearray:
    """A number that matters to many a reader, anywhere in the header."""
    at = rng.randrange(max(1, min(_HEADER, len(file)) - 4))
    number = rng.choice((*_NUMBERS, len(file)))
    packed = rng.choice((struct.pack(">I", number), struct.pack("<I", number), struct.pack("<H", number & 0xFFFF)))
    file[at : at + len(packed)] = packed
    return file


def truncate(file: bytearray, rng: random.Random) -> bytearray:
    return file[: rng.randrange(len(file) + 1)]


def truncate_and_pad(file: bytearray, rng: random.Random) -> bytearray:
    """The right length, the end of it missing; with an end marker at times."""
    keep = rng.randrange(len(file) + 1)
    end = rng.choice((b"", b"\xff\xd9", b"\0;", file[-12:]))
    return file[:keep] + bytes(max(0, len(file) - keep - len(end))) + end


def overwrite(file: bytearray, rng: random.Random) -> bytearray:
    start, end = _run(file, rng)
    file[start:end] = rng.choice((bytes(end - start), b"\xff" * (end - start), rng.randbytes(end - start)))
    return file


def delete(file: bytearray, rng: random.Random) -> bytearray:
    start, end = _run(file, rng)
    del file[start:end]
    return file


def repeat(file: bytearray, rng: random.Random) -> bytearray:
    start, end = _run(file, rng)
    at = rng.randrange(len(file) + 1)
    return file[:at] + file[start:end] + file[at:]


def swap(file: bytearray, rng: random.Random) -> bytearray:
    first, second = sorted((_run(file, rng), _run(file, rng)))
    (a, b), (c, d) = first, (max(first[1], second[0]), max(first[1], second[1]))
    return file[:a] + file[c:d] + file[b:c] + file[a:b] + file[d:]


def shuffle_chunks(file: bytearray, rng: random.Random) -> bytearray:
    """Chunks in another order, twice or not at all, each with its right checksum."""
    chunks = _chunks(file)
    way = rng.randrange(4)
    if way == 0:
        rng.shuffle(chunks)
    elif way == 1 and chunks:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    elif way == 2 and chunks:
        del chunks[rng.randrange(len(chunks))]
    else:
        count = struct.pack(">II", rng.choice((0, 1, 2, 2**31)), 0)
        chunks.insert(rng.randrange(len(chunks) + 1), (b"acTL", count))
    return _png(chunks)


def edit_chunk(file: bytearray, rng: random.Random) -> bytearray:
    """A chunk's content damaged, its checksum right."""
    chunks = _chunks(file)
    if chunks:
        index = rng.randrange(len(chunks))
        kind, body = chunks[index]
        chunks[index] = kind, bytes(rng.choice((flip_bits, edit_header, truncate, overwrite))(bytearray(body), rng))
    return _png(chunks)


def edit_pixels(file: bytearray, rng: random.Random) -> bytearray:
    """The rows behind the compression cut or damaged, everything around them right."""
    chunks = _chunks(file)
    for index, (kind, body) in enumerate(chunks):
        if kind == b"IDAT":
            try:
                rows = bytearray(zlib.decompressobj().decompress(body))
            except zlib.error:
                return file
            rows = rng.choice((truncate, flip_bits, delete, repeat))(rows, rng)
            chunks[index] = kind, zlib.compress(rows, 1)[: rng.choice((None, None, -4, -1))]
    return _png(chunks)


def edit_directory(file: bytearray, rng: random.Random) -> bytearray:
    """One entry of the first directory: another tag, type, count or value."""
    order = "<" if file[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", file, 4)
        (entries,) = struct.unpack_from(f"{order}H", file, start)
        at = start + 2 + 12 * rng.randrange(max(1, entries))
        tag, kind, count, value = struct.unpack_from(f"{order}HHII", file, at)
        way = rng.randrange(5)
        if way == 0:
            tag = rng.choice((254, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 325, 330, 338, 339, 530))
        elif way == 1:
            kind = rng.randrange(20)
        elif way == 2:
            count = rng.choice((*_NUMBERS, count + 1, max(0, count - 1)))
        else:
            number = rng.choice((*_NUMBERS, value + 1, max(0, value - 1), value * 2)) & 0xFFFFFFFF
            value = number << 16 & 0xFFFFFFFF if order == ">" and kind == 3 and count == 1 else number
        struct.pack_into(f"{order}HHII", file, at, tag, kind, count & 0xFFFFFFFF, value)
    except struct.error:
        return flip_bits(file, rng)
    return file


_BLIND: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, edit_header, set_number, truncate, truncate_and_pad),
    *(overwrite, delete, repeat, swap),
)
_PNG: tuple[Mutation, ...] = (shuffle_chunks, edit_chunk, edit_pixels)
_TIFF: tuple[Mutation, ...] = (edit_directory,)


def _run(file: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(file) + 1)
    return start, min(len(file), start + rng.choice((1, 4, 16, 64, 256, 1024)))


def _chunks(file: bytearray) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk, as far as they can be told."""
    chunks, at = [], len(_SIGNATURE)
    while at + 12 <= len(file):
        (length,) = struct.unpack_from(">I", file, at)
        chunks.append((bytes(file[at + 4 : at + 8]), bytes(file[at + 8 : at + 8 + length])))
        at += 12 + length
    return chunks


def _png(chunks: list[tuple[bytes, bytes]]) -> bytearray:
    return bytearray(_SIGNATURE + b"".join(chunk(kind, body) for kind, body in chunks))

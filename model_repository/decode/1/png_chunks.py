"""Checks a PNG chunk by chunk, and makes the still and bare PNGs that decoders are given of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from isal import isal_zlib
from refusals import damaged, truncated

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_BARE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type → samples a pixel
_PASSES = (  # of an interlaced PNG: first column, first row, and the steps to the next
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_STEP = 1 << 20  # bytes to inflate at a time


@dataclass(frozen=True)
class Png:
    """A PNG whose chunks are all there, with the right checksums."""

    data: bytes
    chunks: tuple[tuple[bytes, int, int], ...]  # kind, where the chunk begins and ends
    kinds: frozenset[bytes]
    width: int
    height: int
    depth: int  # bits a sample
    color_type: int
    interlaced: bool

    def still(self) -> bytes:
        """The file without the chunks of an animation, which no decoder here may see: its first or default picture."""
        return self._without(_ANIMATION) if self.kinds & _ANIMATION else self.data

    def bare(self) -> bytes:
        """The pixels alone. OpenCV knows no better than to print what libpng thinks of many a profile."""
        return self.data if self.kinds <= _BARE else self._without(self.kinds - _BARE)

    def _without(self, kinds: frozenset[bytes]) -> bytes:
        view = memoryview(self.data)
        return b"".join((_SIGNATURE, *(view[start:end] for kind, start, end in self.chunks if kind not in kinds)))

    def check_pixels(self) -> None:
        """Inflate the pixels only to see that all of them are there: decoders may leave the rest as it was.

        1024² of colour takes 8 ms, so this is not for files whose decoder does it itself.
        Raises PhotoError for too few; IsalError for data that cannot be inflated.
        """
        inflate = isal_zlib.decompressobj()
        view, missing = memoryview(self.data), self._inflated_size()
        for _, start, end in (chunk for chunk in self.chunks if chunk[0] == b"IDAT"):
            rest: bytes | memoryview = view[start + 8 : end - 4]
            while len(rest) and missing > 0 and not inflate.eof:
                missing -= len(inflate.decompress(rest, _STEP))
                rest = inflate.unconsumed_tail
        while missing > 0 and not inflate.eof and (more := inflate.decompress(b"", _STEP)):
            missing -= len(more)
        if missing > 0:
            raise truncated("PNG", self.data)

    def _inflated_size(self) -> int:
        """Bytes of all rows, each with its filter's number in front."""
        bits = self.depth * _SAMPLES[self.color_type]
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, step_x, step_y in passes:
            columns = (self.width - left + step_x - 1) // step_x
            rows = (self.height - top + step_y - 1) // step_y
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * bits + 7) // 8)
        return total


def read_chunks(data: bytes) -> Png:
    """Walk a PNG's chunks up to IEND. What follows is nobody's business.

    Raises PhotoError for a checksum that is wrong, a chunk or IEND that is missing, a header that means nothing.
    """
    if not data.startswith(_SIGNATURE):
        raise damaged("PNG", "its signature is changed, as by a transfer as text")
    view, at = memoryview(data), len(_SIGNATURE)
    chunks: list[tuple[bytes, int, int]] = []
    kind = b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise truncated("PNG", data)
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise truncated("PNG", data)
        if isal_zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise damaged("PNG", f"the checksum of its chunk {kind.decode('ascii', 'backslashreplace')} is wrong")
        chunks.append((kind, at, end))
        at = end
    headers = [(start, end) for kind, start, end in chunks if kind == b"IHDR"]
    if headers != [(len(_SIGNATURE), len(_SIGNATURE) + 25)]:
        raise damaged("PNG", "it does not begin with one header")
    width, height, depth, color_type, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    kinds = frozenset(kind for kind, _, _ in chunks)
    if color_type not in _SAMPLES or not width or not height or b"IDAT" not in kinds:
        raise damaged("PNG", "its header describes no picture, or it has none")
    return Png(data, tuple(chunks), kinds, width, height, depth, color_type, bool(interlace))

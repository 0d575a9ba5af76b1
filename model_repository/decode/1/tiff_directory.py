"""Reads what a TIFF says of its first picture, and refuses what is a camera raw, incomplete or of a kind not read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from refusals import damaged, truncated, unsupported

Values = tuple[int, ...]

_KINDS = {
    1: "B",
    2: "B",
    3: "H",
    4: "I",
    7: "B",
    13: "I",
    16: "Q",
}  # types of whole numbers and bytes → struct's letter
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_FILL_ORDER, _MAKE, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = (
    266,
    271,
    273,
    274,
    277,
    278,
    279,
    284,
)
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _SUB_DIRECTORIES, _EXTRA = 317, 322, 323, 324, 325, 330, 338
_FORMAT, _ICC, _DNG_VERSION = 339, 34675, 50706
_WANTED = frozenset(
    {
        *(_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _MAKE),
        *(_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT),
        *(_TILES, _TILE_BYTES, _SUB_DIRECTORIES, _EXTRA, _FORMAT, _ICC, _DNG_VERSION),
    }
)
UNCOMPRESSED, _LZW, OLD_JPEG, _DEFLATE, _PACK_BITS, _OLD_DEFLATE, _LZMA, _ZSTD = 1, 5, 6, 8, 32773, 32946, 34925, 50000
PREDICTED = frozenset({_LZW, _DEFLATE, _OLD_DEFLATE, _LZMA, _ZSTD})  # compressions that know a predictor
BYTEWISE = PREDICTED | {UNCOMPRESSED, _PACK_BITS}  # of bytes, whatever the bytes mean
_SENSOR = {32803: "CFA", 34892: "LinearRaw"}  # photometric interpretations of what a sensor saw
COLORS = {0: 1, 1: 1, 2: 3, 5: 4}  # photometric interpretation → samples that are colour: gray, RGB and CMYK
_SAMPLE_FORMATS = {2: "signed whole", 3: "floating-point", 4: "untyped", 5: "complex whole", 6: "complex"}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_COREL_ALPHA = 999  # what Corel Draw 10 writes for alpha


@dataclass(frozen=True)
class Picture:
    """The first picture of a TIFF, as its directory describes it."""

    order: str  # < or >
    width: int
    height: int
    bits: int
    samples: int  # a pixel
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    planar: bool
    extra: Values
    block: tuple[int, int]  # width and height of a strip or tile
    tiled: bool
    offsets: Values
    counts: Values  # bytes of each strip or tile
    orientation: int
    icc: bytes | None

    @property
    def is_layered(self) -> bool:
        """Whether `tiff_layers` reads it: deep, or with samples beside its colours. Pillow reads the others."""
        colors = COLORS.get(self.photometric, 0)
        has_extra = self.bits == 8 and self.samples > colors and self.compression in BYTEWISE
        return bool(colors) and (self.bits == 16 or has_extra)

    @property
    def alpha(self) -> tuple[int, bool] | None:
        """Which sample is alpha, and whether the colours are multiplied with it already; None if none is."""
        first = COLORS.get(self.photometric, self.samples)
        if not self.extra and (self.photometric, self.samples) == (2, 4):
            return 3, False  # RGBA of a writer that forgot to say so
        for index, meaning in enumerate(self.extra):
            if meaning in (_ASSOCIATED, _UNASSOCIATED, _COREL_ALPHA) and first + index < self.samples:
                return first + index, meaning == _ASSOCIATED
        return None


def read_directory(data: bytes) -> Picture:
    """The first picture. Raises PhotoError: a camera raw or thumbnail, a kind not read, missing strips."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}I", data, 4)
    tags = _read_tags(data, order, big, start)
    _refuse_raw(data, order, big, tags)
    return _checked(data, _described(tags, order))


def _read_tags(data: bytes, order: str, big: bool, start: int) -> dict[int, Values]:
    """The tags of one directory that matter here. Raises PhotoError where one lies outside of the file."""
    count_kind, entry_kind, inline = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    head = struct.calcsize(f"={count_kind}")
    size = struct.calcsize(f"={entry_kind}")
    if start + head > len(data):
        raise truncated("TIFF", data)
    (entries,) = struct.unpack_from(f"{order}{count_kind}", data, start)
    if start + head + entries * (size + inline) > len(data):
        raise truncated("TIFF", data)
    tags: dict[int, Values] = {}
    for at in range(start + head, start + head + entries * (size + inline), size + inline):
        tag, kind, count = struct.unpack_from(f"{order}{entry_kind}", data, at)
        if tag not in _WANTED or kind not in _KINDS or tag in tags:
            continue
        values = f"{order}{count}{_KINDS[kind]}"
        place = at + size
        if struct.calcsize(f"={_KINDS[kind]}") * count > inline:
            (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, place)
            if place + struct.calcsize(f"={_KINDS[kind]}") * count > len(data):
                raise truncated("TIFF", data)
        tags[tag] = struct.unpack_from(values, data, place)
    return tags


def _refuse_raw(data: bytes, order: str, big: bool, tags: dict[int, Values]) -> None:
    """Raise PhotoError for a camera raw, whose first picture is a thumbnail, and for any other thumbnail."""
    make = bytes(tags.get(_MAKE, ())).split(b"\0")[0].decode("ascii", "replace").strip()
    if _DNG_VERSION in tags:
        raise unsupported("camera raw, DNG")
    if data[8:10] == b"CR":
        raise unsupported("camera raw, CR2")
    for start in (None, *tags.get(_SUB_DIRECTORIES, ())[:8]):
        try:
            directory = tags if start is None else _read_tags(data, order, big, start)
        except ValueError:  # a directory that nothing else here reads
            continue
        if directory.get(_PHOTOMETRIC, (0,))[0] in _SENSOR:
            raise unsupported(f"camera raw of {make}" if make else "camera raw")
    if tags.get(_NEW_SUBFILE_TYPE, (0,))[0] & 5 or tags.get(_SUBFILE_TYPE, (1,))[0] == 2:
        maker = f", as the camera raws of {make} are" if make else ""
        raise unsupported(f"TIFF that begins with a thumbnail or a mask{maker}")


def _described(tags: dict[int, Values], order: str) -> Picture:
    """The tags by name. Raises PhotoError where they describe no picture, or one of a kind that is not read."""

    def one(tag: int, default: int) -> int:
        values = tags.get(tag, ())
        return values[0] if values else default

    width, height = one(_WIDTH, 0), one(_HEIGHT, 0)
    samples, bits = one(_SAMPLES, 1), tags.get(_BITS, (1,))
    if not width or not height or not samples or not bits:
        raise damaged("TIFF", "its directory describes no picture")
    if sample_format := next((kind for kind in tags.get(_FORMAT, ()) if kind in _SAMPLE_FORMATS), 0):
        raise unsupported(f"TIFF of {bits[0]}-bit {_SAMPLE_FORMATS[sample_format]} samples")
    if max(bits) > 16 or len(set(bits)) > 1:
        raise unsupported(f"TIFF of {' + '.join(map(str, bits[:8]))} bits a pixel")
    tiled = _TILES in tags
    block = (one(_TILE_WIDTH, 0), one(_TILE_HEIGHT, 0)) if tiled else (width, min(one(_ROWS, height), height))
    if not all(block):
        raise damaged("TIFF", "its strips or tiles have no size")
    return Picture(
        order=order,
        width=width,
        height=height,
        bits=bits[0],
        samples=samples,
        photometric=one(_PHOTOMETRIC, 0),
        compression=one(_COMPRESSION, UNCOMPRESSED),
        predictor=one(_PREDICTOR, 1),
        fill_order=one(_FILL_ORDER, 1),
        planar=one(_PLANAR, 1) == 2 and samples > 1,
        extra=tags.get(_EXTRA, ()),
        block=block,
        tiled=tiled,
        offsets=tags.get(_TILES if tiled else _STRIPS, ()),
        counts=tags.get(_TILE_BYTES if tiled else _STRIP_BYTES, ()),
        orientation=one(_ORIENTATION, 1),
        icc=bytes(tags[_ICC]) if _ICC in tags else None,
    )


def _checked(data: bytes, picture: Picture) -> Picture:
    """The picture, if the file has all its strips or tiles. Raises PhotoError."""
    if picture.compression == OLD_JPEG:
        return picture  # keeps its data elsewhere
    across, down = -(-picture.width // picture.block[0]), -(-picture.height // picture.block[1])
    blocks = across * down * (picture.samples if picture.planar else 1)
    if len(picture.offsets) < blocks:
        raise truncated("TIFF", data)
    if picture.compression == UNCOMPRESSED:
        row = -(-picture.block[0] * picture.bits * (1 if picture.planar else picture.samples) // 8)
        last = picture.height - (down - 1) * picture.block[1]
        ends = [
            offset + row * (last if index % (across * down) == down - 1 and not picture.tiled else picture.block[1])
            for index, offset in enumerate(picture.offsets[:blocks])
        ]
    else:
        if len(picture.counts) < blocks:
            raise truncated("TIFF", data)
        if not all(picture.counts[:blocks]):
            raise damaged("TIFF", "a strip or tile is empty")
        ends = [offset + count for offset, count in zip(picture.offsets, picture.counts, strict=False)][:blocks]
    if max(ends) > len(data):
        raise truncated("TIFF", data)
    return picture

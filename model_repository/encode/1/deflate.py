"""Deflate (RFC 1951) for the filtered rows of an RGB picture.

A general encoder looks for repetitions anywhere. A filtered photo has them only where neighbouring pixels have the same
residual, so nothing else is looked for here, and all bytes share one Huffman code made for the picture.
"""

import numpy as np
import numpy.typing as npt
from compiled import compiled
from huffman import code_lengths, code_words

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Writer = tuple[int, int, int]  # bits that fill no word yet, their number (0-63), words that are full

_SAMPLED = 7  # of so many rows one is counted; of 8 it would always be the one at the edge of JPEG's blocks
_END = 256  # the symbol after the last byte; those of the lengths follow
_SYMBOLS = 286
_LONGEST_RUN = 258
_PIXEL_AWAY = 2  # the distance symbol of 3 bytes
_RUN_LENGTHS = np.array(
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258]
)
_EXTRA_BITS = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0])
_CODE_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
_LENGTH_BITS = 46  # an entry of a table: its bits, and above these how many
_NO_PIXEL = 1 << 24


def deflate(rows: Bytes) -> memoryview:
    """A raw deflate stream of uint8 [H, 1 + 3·W], one block; each row a filter byte and pixels."""
    words = np.empty(rows.size // 4 + 64, np.int64)  # 15 bits a byte at most, and the code itself
    return words.data.cast("B")[: _write_block(rows, words)]


@compiled
def _write_block(rows: Bytes, words: Integers) -> int:
    """Fill `words` with the stream; return its bytes."""
    counts = np.ones(_SYMBOLS, np.int64)  # what the sample lacks may still come
    _count(rows, counts)
    lengths = code_lengths(counts, 15)
    codes = code_words(lengths)
    symbols = codes | lengths << _LENGTH_BITS
    writer = (0, 0, 0)
    for entry in _header(lengths):
        writer = _put(words, writer, entry)
    writer = _write_rows(rows, symbols, _runs(symbols), words, writer)
    pending, used, full = _put(words, writer, symbols[_END])
    words[full] = pending
    return 8 * full + (used + 7) // 8


@compiled
def _count(rows: Bytes, counts: Integers) -> None:
    """Add how often each symbol comes in a sample of the rows."""
    symbol_of = np.zeros(_LONGEST_RUN + 1, np.int64)
    for index in range(_RUN_LENGTHS.size):
        for length in range(_RUN_LENGTHS[index], _LONGEST_RUN + 1):
            symbol_of[length] = _END + 1 + index
    for y in range(0, rows.shape[0], _SAMPLED):
        row, index, before = rows[y], 1, _NO_PIXEL
        counts[row[0]] += 1
        while index < row.size:
            pixel = _pixel(row, index)
            if pixel == before:
                end = _run_end(row, index, pixel)
                counts[symbol_of[end - index]] += 1
                index = end
            else:
                counts[pixel & 255] += 1
                counts[pixel >> 8 & 255] += 1
                counts[pixel >> 16] += 1
                index, before = index + 3, pixel


@compiled
def _write_rows(rows: Bytes, symbols: Integers, runs: Integers, words: Integers, writer: Writer) -> Writer:
    """Append all rows, a pixel or a run at a time."""
    for y in range(rows.shape[0]):
        row, index, before = rows[y], 1, _NO_PIXEL
        writer = _put(words, writer, symbols[row[0]])
        while index < row.size:
            pixel = _pixel(row, index)
            if pixel == before:
                end = _run_end(row, index, pixel)
                entry = runs[end - index]
                index = end
            else:
                entry = _joined(_joined(symbols[pixel & 255], symbols[pixel >> 8 & 255]), symbols[pixel >> 16])
                index, before = index + 3, pixel
            writer = _put(words, writer, entry)
    return writer


@compiled
def _pixel(row: Bytes, index: int) -> int:
    """Its three bytes as one number."""
    # An unsigned index spares the question whether it counts from the end.
    first, second, third = row[np.uint64(index)], row[np.uint64(index + 1)], row[np.uint64(index + 2)]
    return int(np.int64(first) | np.int64(second) << 8 | np.int64(third) << 16)


@compiled
def _run_end(row: Bytes, start: int, pixel: int) -> int:
    """Where the pixels from `start` no longer equal this one, or a match is at its longest."""
    end, index = min(row.size, start + _LONGEST_RUN), start
    while index < end and _pixel(row, index) == pixel:
        index += 3
    return index


@compiled
def _joined(first: int, second: int) -> int:
    """An entry of both: the bits of the second above those of the first."""
    length = first >> _LENGTH_BITS
    return first + ((second >> _LENGTH_BITS) << _LENGTH_BITS) + ((second & (1 << _LENGTH_BITS) - 1) << length)


@compiled
def _runs(symbols: Integers) -> Integers:
    """The entries of runs by their bytes: length, its extra bits, and the only distance, one bit that is 0."""
    runs = np.zeros(_LONGEST_RUN + 1, np.int64)
    for index in range(_RUN_LENGTHS.size):
        shortest = _RUN_LENGTHS[index]
        for more in range(1 << _EXTRA_BITS[index]):
            if shortest + more <= _LONGEST_RUN:
                extra = more | (_EXTRA_BITS[index] + 1) << _LENGTH_BITS
                runs[shortest + more] = _joined(symbols[_END + 1 + index], extra)
    return runs


@compiled
def _header(lengths: Integers) -> Integers:
    """The entries that begin the only block: the length of each of its words, in a code of their own."""
    told = np.zeros(_SYMBOLS + _PIXEL_AWAY + 1, np.int64)
    told[_SYMBOLS + _PIXEL_AWAY] = 1
    for symbol in range(_SYMBOLS):
        told[symbol] = lengths[symbol]
    counts = np.zeros(_CODE_ORDER.size, np.int64)
    for length in told:
        counts[length] += 1
    code = code_lengths(counts, 7)
    words = code_words(code)
    entries = np.empty(1 + code.size + told.size, np.int64)
    entries[0] = 1 | 2 << 1 | (_SYMBOLS - 257) << 3 | _PIXEL_AWAY << 8 | (code.size - 4) << 13 | 17 << _LENGTH_BITS
    for place in range(code.size):
        entries[1 + place] = code[_CODE_ORDER[place]] | 3 << _LENGTH_BITS
    for place in range(told.size):
        entries[1 + code.size + place] = words[told[place]] | code[told[place]] << _LENGTH_BITS
    return entries


@compiled
def _put(words: Integers, writer: Writer, entry: int) -> Writer:
    """Append an entry's bits."""
    pending, used, full = writer
    bits, length = entry & (1 << _LENGTH_BITS) - 1, entry >> _LENGTH_BITS
    together = pending | bits << used
    words[np.uint64(full)] = together
    after = used + length
    if after >= 64:
        together = bits >> 1 >> 63 - used
    return together, after & 63, full + (after >> 6)

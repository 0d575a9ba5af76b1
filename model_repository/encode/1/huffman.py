"""Huffman codes as deflate has them (RFC 1951, 3.2.2): canonical, of a limited length, read from their lowest bit."""

import numpy as np
import numpy.typing as npt
from compiled import compiled

Integers = npt.NDArray[np.int64]


@compiled
def code_lengths(counts: Integers, longest: int) -> Integers:
    """The bits of each symbol, at most `longest`; 0 where the count is 0. At least two symbols must come.

    Where a code gets too long, the counts are halved until it does not.
    """
    symbols = _rising(counts)
    weights = np.empty(symbols.size, np.int64)
    for rank in range(symbols.size):
        weights[rank] = counts[symbols[rank]]
    depths = _depths(weights)
    while depths[0] > longest:
        for rank in range(symbols.size):
            weights[rank] = (weights[rank] + 1) >> 1
        depths = _depths(weights)
    lengths = np.zeros(counts.size, np.int64)
    for rank in range(symbols.size):
        lengths[symbols[rank]] = depths[rank]
    return lengths


@compiled
def _rising(counts: Integers) -> Integers:
    """The symbols that come, the rarest first. Sorted by insertion: a library's sort takes a second to compile."""
    symbols = np.empty(counts.size, np.int64)
    size = 0
    for symbol in range(counts.size):
        if counts[symbol] > 0:
            place = size
            while place > 0 and counts[symbols[place - 1]] > counts[symbol]:
                symbols[place] = symbols[place - 1]
                place -= 1
            symbols[place] = symbol
            size += 1
    return symbols[:size]


@compiled
def _depths(weights: Integers) -> Integers:
    """Depth in the Huffman tree of leaves whose weights rise: two queues, leaves and joints, both in order."""
    size = weights.size
    parents = np.zeros(2 * size - 1, np.int64)
    heavy = np.zeros(2 * size - 1, np.int64)
    for leaf in range(size):
        heavy[leaf] = weights[leaf]
    leaf, joint = 0, size
    for new in range(size, 2 * size - 1):
        for _ in range(2):
            if leaf < size and (joint >= new or heavy[leaf] <= heavy[joint]):
                least = leaf
                leaf += 1
            else:
                least = joint
                joint += 1
            heavy[new] += heavy[least]
            parents[least] = new
    depths = np.zeros(2 * size - 1, np.int64)
    for node in range(2 * size - 3, -1, -1):
        depths[node] = depths[parents[node]] + 1
    return depths[:size]


@compiled
def code_words(lengths: Integers) -> Integers:
    """The canonical words, their first bit lowest."""
    words = np.zeros(lengths.size, np.int64)
    word = 0
    for length in range(1, 16):
        for symbol in range(lengths.size):
            if lengths[symbol] == length:
                for bit in range(length):
                    words[symbol] |= (word >> bit & 1) << (length - 1 - bit)
                word += 1
        word <<= 1
    return words

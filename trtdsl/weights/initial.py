"""Initial values: pseudo-random numbers that a weight's name alone decides, equal on every machine and version."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np

from trtdsl.weights.base import Array

# numpy promises the same raw bits from PCG64 for ever, and does not promise the same normal numbers; so these are made
# here, from sums of integers, which no mathematical library rounds in its own way.
_CHUNK = 1 << 20
_PIECES = 4
_DEVIATION = math.sqrt(_PIECES * (2.0**32 - 1) / 12)
_CENTRE = _PIECES * 65535 / 2


def uniform(name: str, shape: tuple[int, ...], bound: float) -> Array:
    """fp32 numbers spread evenly from `-bound` to `bound`."""
    numbers = np.empty(math.prod(shape), np.float32)
    for begin, bits in _bits(name, (numbers.size + 1) // 2):
        halves = bits.view("<u4")[: numbers.size - 2 * begin]
        numbers[2 * begin : 2 * begin + halves.size] = (halves * 2.0**-31 - 1.0) * bound
    return numbers.reshape(shape)


def normal(name: str, shape: tuple[int, ...], deviation: float, mean: float = 0.0) -> Array:
    """fp32 numbers around `mean`, close to normally distributed and none farther than 3.5 deviations.

    Each is the sum of four 16-bit numbers; the standard deviation is exactly the one asked for.
    """
    numbers = np.empty(math.prod(shape), np.float32)
    for begin, bits in _bits(name, numbers.size):
        pieces = bits.view("<u2")
        total = pieces[0::4].astype(np.float64)
        for position in range(1, _PIECES):
            total += pieces[position::4]
        numbers[begin : begin + len(bits)] = (total - _CENTRE) * (deviation / _DEVIATION) + mean
    return numbers.reshape(shape)


def _bits(name: str, count: int) -> Iterator[tuple[int, Array]]:
    """`count` random little-endian 64-bit numbers in chunks, each with its position."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big")
    generator = np.random.PCG64(seed)
    for begin in range(0, count, _CHUNK):
        yield begin, generator.random_raw(min(_CHUNK, count - begin)).astype("<u8", copy=False)


def fan_in(shape: tuple[int, ...]) -> int:
    """How many inputs one output of a weight sums, in PyTorch's layouts."""
    return max(1, math.prod(shape[1:]))

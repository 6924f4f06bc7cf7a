"""The code of coded blocks, stated in full and decoded slowly.

GF(256) with the polynomial x^8+x^4+x^3+x^2+1 (0x11d). Row i of the generator matrix is the unit row
for a data shard, and for a parity shard i >= k the Cauchy row 1/(i xor j) for data shard j. Any k
rows are invertible, so any k shards give back the data.

This is the twin that the fast coder is tested against, and the way out if the library should ever
be gone: whoever has this page and the shard format can read the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from objstore.model.errors import check
from objstore.model.objects import Scheme

__all__ = ["decode_slowly", "encode_slowly", "generator_row"]

_POLYNOMIAL: Final = 0x11D
_ORDER: Final = 255


def _tables() -> tuple[list[int], list[int]]:
    powers, logarithms = [0] * (2 * _ORDER), [0] * 256
    value = 1
    for exponent in range(_ORDER):
        powers[exponent] = powers[exponent + _ORDER] = value
        logarithms[value] = exponent
        value <<= 1
        if value > _ORDER:
            value ^= _POLYNOMIAL
    return powers, logarithms


_POWERS, _LOGARITHMS = _tables()


def generator_row(scheme: Scheme, shard: int) -> list[int]:
    """Return the coefficients that make a shard from the data shards."""
    if shard < scheme.k:
        return [int(column == shard) for column in range(scheme.k)]
    return [_inverse(shard ^ column) for column in range(scheme.k)]


def encode_slowly(scheme: Scheme, data_shards: list[bytes], shard: int) -> bytes:
    """Return any shard from all data shards."""
    return _combine(generator_row(scheme, shard), data_shards)


def decode_slowly(scheme: Scheme, payloads: Mapping[int, bytes]) -> list[bytes]:
    """Return all data shards from any k shards, by elimination."""
    sources = sorted(payloads)[: scheme.k]
    check(len(sources) == scheme.k, "decoding takes k shards")
    rows = [generator_row(scheme, shard) for shard in sources]
    shards = [payloads[shard] for shard in sources]
    for column in range(scheme.k):
        pivot = next(row for row in range(column, scheme.k) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        shards[column], shards[pivot] = shards[pivot], shards[column]
        factor = _inverse(rows[column][column])
        rows[column] = [_multiply(factor, value) for value in rows[column]]
        shards[column] = _combine([factor], [shards[column]])
        for row in range(scheme.k):
            factor = rows[row][column]
            if row != column and factor:
                rows[row] = [
                    a ^ _multiply(factor, b) for a, b in zip(rows[row], rows[column], strict=True)
                ]
                shards[row] = _combine([1, factor], [shards[row], shards[column]])
    return shards


def _multiply(left: int, right: int) -> int:
    if not left or not right:
        return 0
    return _POWERS[_LOGARITHMS[left] + _LOGARITHMS[right]]


def _inverse(value: int) -> int:
    return _POWERS[_ORDER - _LOGARITHMS[value]]


def _combine(factors: list[int], shards: list[bytes]) -> bytes:
    """The sum of shards, each times its factor."""
    total = bytes(len(shards[0]))
    for factor, shard in zip(factors, shards, strict=True):
        times_factor = bytes(_multiply(factor, value) for value in range(256))
        product = shard.translate(times_factor)
        total = bytes(a ^ b for a, b in zip(total, product, strict=True))
    return total

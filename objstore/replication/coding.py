"""From a block to its shards and back: copies, or Reed-Solomon through ISA-L.

The code is systematic: data shard i is the bytes [i*S, (i+1)*S) of the block, S = ceil(length / k),
the last one filled with zeros. So a healthy read touches just the data shards that hold its range.
Parity shards follow from the Cauchy matrix over GF(256) with polynomial 0x11d
(`objstore.replication.galois` states it in full and decodes slowly). The code is linear byte by
byte: the same range of any k shards rebuilds that range of every other shard.

The code is part of the shard format. There is no fall-back to another one: shards of two codes do
not mix.

The library wants a header of its own before every fragment, which is not kept in shard files; it is
rebuilt from a template when fragments are handed back. Its functions take nothing but `bytes`, and
end the process for other types.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Final

from pyeclib.ec_iface import ECDriver

from objstore.model.errors import UnreadableData, check
from objstore.model.limits import KIB
from objstore.model.objects import Scheme
from objstore.storage.format import Buffer

__all__ = ["decode", "encode", "rebuild", "shard_bytes"]

_CODE: Final = "isa_l_rs_cauchy"
_HEADER_BYTES: Final = 80
_METADATA_BYTES: Final = 59
_SLICE_BYTES: Final = 64 * KIB
"""Shards are coded in slices of this size: they stay in the processor's cache, which makes coding
more than twice as fast, and between two of them the event loop gets the interpreter lock, which
the library does not release."""
_CHECKSUM_OFFSET: Final = 67
_LENGTHS: Final = struct.Struct("<IIIQ")
"""Index, payload length, length of backend metadata, length of the whole."""
_CHECKSUM: Final = struct.Struct("<I")


def shard_bytes(scheme: Scheme, block_bytes: int) -> int:
    """Return the length of each shard of a block."""
    return -(-block_bytes // scheme.k)


def encode(scheme: Scheme, block: Buffer) -> list[Buffer]:
    """Return the payloads of all shards in order.

    Whole data shards and copies share the block's memory.
    """
    check(len(block) > 0, "a block has at least one byte")
    if scheme.k == 1:
        return [block] * scheme.width
    data = _data_shards(scheme, memoryview(block))
    return [*data, *_parity_shards(scheme, data)]


def decode(scheme: Scheme, payloads: Mapping[int, Buffer], block_bytes: int) -> Buffer:
    """Return the block from any k shards; raises `UnreadableData` when there are fewer."""
    if scheme.k == 1:
        return _any_copy(payloads)
    missing = [index for index in range(scheme.k) if index not in payloads]
    shards = dict(payloads)
    shards.update(rebuild(scheme, payloads, missing))
    block = b"".join(shards[index] for index in range(scheme.k))
    return block if len(block) == block_bytes else memoryview(block)[:block_bytes]


def rebuild(
    scheme: Scheme, payloads: Mapping[int, Buffer], wanted: Iterable[int]
) -> dict[int, Buffer]:
    """Return the wanted shards, or the same range of them, from that range of any k others.

    Raises `UnreadableData` when fewer than k are given.
    """
    wanted = list(wanted)
    if not wanted:
        return {}
    if scheme.k == 1:
        return dict.fromkeys(wanted, _any_copy(payloads))
    if len(payloads) < scheme.k:
        raise UnreadableData(
            "too few shards are left", shards=len(payloads), shards_needed=scheme.k
        )
    sources = sorted(payloads)[: scheme.k]
    size = len(payloads[sources[0]])
    check(all(len(payloads[index]) == size for index in sources), "shards differ in length")
    driver = _driver(scheme)
    views = {index: memoryview(payloads[index]) for index in sources}
    pieces: dict[int, list[memoryview]] = {index: [] for index in wanted}
    for start in range(0, size, _SLICE_BYTES):
        slice_bytes = min(_SLICE_BYTES, size - start)
        fragments = [
            _fragment_header(scheme, index, slice_bytes) + view[start : start + slice_bytes]
            for index, view in views.items()
        ]
        for index, fragment in zip(wanted, driver.reconstruct(fragments, wanted), strict=True):
            pieces[index].append(memoryview(fragment)[_HEADER_BYTES:])
    return {index: b"".join(shard_pieces) for index, shard_pieces in pieces.items()}


def _data_shards(scheme: Scheme, block: memoryview) -> list[Buffer]:
    """Slices of the block, all of one length; only what reaches beyond its end is copied."""
    size = shard_bytes(scheme, len(block))
    shards: list[Buffer] = []
    for start in range(0, scheme.k * size, size):
        shard = block[start : start + size]
        shards.append(shard if len(shard) == size else bytes(shard).ljust(size, b"\0"))
    return shards


def _parity_shards(scheme: Scheme, data: list[Buffer]) -> list[Buffer]:
    driver = _driver(scheme)
    views = [memoryview(shard) for shard in data]
    pieces: list[list[memoryview]] = [[] for _ in range(scheme.m)]
    for start in range(0, len(data[0]), _SLICE_BYTES):
        stop = start + _SLICE_BYTES
        fragments = driver.encode(b"".join([view[start:stop] for view in views]))
        for parity, fragment in zip(pieces, fragments[scheme.k :], strict=True):
            parity.append(memoryview(fragment)[_HEADER_BYTES:])
    return [b"".join(parity) for parity in pieces]


def _any_copy(payloads: Mapping[int, Buffer]) -> Buffer:
    for index in sorted(payloads):
        return payloads[index]
    raise UnreadableData("no copy is left", shards=0, shards_needed=1)


@functools.cache
def _driver(scheme: Scheme) -> ECDriver:
    return ECDriver(ec_type=_CODE, k=scheme.k, m=scheme.m)


@functools.cache
def _header_template(scheme: Scheme) -> bytes:
    header: bytes = _driver(scheme).encode(bytes(scheme.k))[0][:_HEADER_BYTES]
    checksum = _CHECKSUM.pack(zlib.crc32(header[:_METADATA_BYTES]))
    kept = header[_CHECKSUM_OFFSET : _CHECKSUM_OFFSET + _CHECKSUM.size]
    check(checksum == kept, "the coding library writes another fragment header than is known here")
    return header


@functools.lru_cache(maxsize=256)
def _fragment_header(scheme: Scheme, index: int, size: int) -> bytes:
    template = _header_template(scheme)
    lengths = _LENGTHS.pack(index, size, 0, size * scheme.k)
    metadata = lengths + template[_LENGTHS.size : _METADATA_BYTES]
    return b"".join(
        (
            metadata,
            template[_METADATA_BYTES:_CHECKSUM_OFFSET],
            _CHECKSUM.pack(zlib.crc32(metadata)),
            template[_CHECKSUM_OFFSET + _CHECKSUM.size :],
        )
    )

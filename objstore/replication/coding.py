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
from objstore.model.objects import Scheme
from objstore.storage.format import Buffer

__all__ = ["decode", "encode", "rebuild", "shard_bytes"]

_CODE: Final = "isa_l_rs_cauchy"
_HEADER_BYTES: Final = 80
_METADATA_BYTES: Final = 59
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
    data = block if isinstance(block, bytes) else bytes(block)
    size = shard_bytes(scheme, len(data))
    view = memoryview(data)
    fragments = _driver(scheme).encode(data)
    shards: list[Buffer] = []
    for index, fragment in enumerate(fragments):
        stop = (index + 1) * size
        if index < scheme.k and stop <= len(data):
            shards.append(view[stop - size : stop])
        else:
            shards.append(memoryview(fragment)[_HEADER_BYTES:])
    check(all(len(shard) == size for shard in shards), "the code made shards of another length")
    return shards


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
    fragments = [
        b"".join((_fragment_header(scheme, index, size), payloads[index])) for index in sources
    ]
    rebuilt = _driver(scheme).reconstruct(fragments, wanted)
    return {
        index: memoryview(fragment)[_HEADER_BYTES:]
        for index, fragment in zip(wanted, rebuilt, strict=True)
    }


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

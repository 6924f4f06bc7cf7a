"""The shard file: one shard of one block, with everything that is needed to trust it.

    offset  bytes  content
    0       128    header: ids, scheme, lengths, checksums (fields: `docs/formats/shard.md`)
    128     3968   table: xxh3-64 of every chunk of the payload, zeros to the end
    4096    n      payload

The payload starts at a fixed, page-aligned offset, so a range of it is a range of the file. A
reader that wants bytes a..b reads the prefix (4096 bytes) and the chunks that hold a..b, and
verifies just these. Every byte of the file is covered: the header by its own checksum, the table by
one in the header, each chunk by the table, the length by the header.

This module is pure: it turns values into bytes and back and never touches a file.
"""

from __future__ import annotations

import re
import struct
from typing import Final, TypeAlias

import msgspec
import xxhash

from objstore.model.errors import CorruptShard, UnknownFormat, check
from objstore.model.limits import KIB, MIB
from objstore.model.names import DataId
from objstore.model.objects import Scheme

__all__ = [
    "CHUNK_BYTES",
    "DIRECTORIES_COUNT",
    "PREFIX_BYTES",
    "SHARD_PAYLOAD_BYTES_MAX",
    "Buffer",
    "NewShard",
    "ShardHeader",
    "ShardId",
    "ShardPrefix",
    "check_chunks",
    "check_identity",
    "decode_prefix",
    "directory_name",
    "encode_prefix",
    "extent_hash",
    "parse_name",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

CHUNK_BYTES: Final = 64 * KIB
"""Unit of verification: large enough that hashing runs at memory speed, small enough for cheap
range reads.
"""
PREFIX_BYTES: Final = 4 * KIB
"""Header and table; one page, so that the payload is page-aligned."""
SHARD_PAYLOAD_BYTES_MAX: Final = 31 * MIB
"""What a table of 496 checksums covers."""
DIRECTORIES_COUNT: Final = 256

_MAGIC: Final = b"\x89SHARD\r\n"
_VERSION: Final = 1
_HEADER_BYTES: Final = 128
_CHECKSUM_BYTES: Final = 8
_FIELDS: Final = struct.Struct(">8sHHI16sIIHBBIQQ8s8s")
_CHECKSUM_OFFSET: Final = _HEADER_BYTES - _CHECKSUM_BYTES
_HEADER_PADDING: Final = bytes(_CHECKSUM_OFFSET - _FIELDS.size)
_TABLE_BYTES: Final = PREFIX_BYTES - _HEADER_BYTES
_NO_CHECKSUM: Final = bytes(_CHECKSUM_BYTES)
_NAME: Final = re.compile(
    r"([0-9a-f]{32})-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,2})"
)
_U32_MAX: Final = 2**32 - 1

_digest = xxhash.xxh3_64_digest

check(_FIELDS.size <= _CHECKSUM_OFFSET, "the header fields leave no room for their checksum")
check(
    SHARD_PAYLOAD_BYTES_MAX // CHUNK_BYTES * _CHECKSUM_BYTES <= _TABLE_BYTES,
    "the largest payload has more chunks than the table has rows",
)


class ShardId(msgspec.Struct, frozen=True, array_like=True):
    """Which shard: unique for ever, because a data id names the bytes of exactly one write."""

    data_id: DataId
    part: int
    block: int
    shard: int

    @property
    def name(self) -> str:
        """File name on a drive; made of ids alone, never of anything that a client chose."""
        return f"{self.data_id.hex()}-{self.part}-{self.block}-{self.shard}"


class ShardHeader(msgspec.Struct, frozen=True, array_like=True):
    """What a shard says about itself and about the block that it belongs to."""

    shard_id: ShardId
    scheme: Scheme
    block_bytes: int
    """Length of the whole block."""
    payload_bytes: int
    """Length of this shard: `ceil(block_bytes / k)`."""
    block_checksum: bytes = _NO_CHECKSUM
    """xxh3-64 of the whole block where it is coded; zeros for copies, whose payload is the block.
    """


class NewShard(msgspec.Struct, frozen=True):
    """A shard to be written. The payload is borrowed until the write returns and must not change
    meanwhile.
    """

    header: ShardHeader
    payload: Buffer


class ShardPrefix(msgspec.Struct, frozen=True):
    """A decoded prefix: the header, and the checksums of the chunks one after the other."""

    header: ShardHeader
    checksums: bytes

    @property
    def file_bytes(self) -> int:
        """Exact length of the file."""
        return PREFIX_BYTES + self.header.payload_bytes


def extent_hash(data_id: DataId, part: int) -> int:
    """Return 64 bits that stand for an extent; its fan-out directory is the lowest byte."""
    return xxhash.xxh3_64_intdigest(data_id + part.to_bytes(4, "big"))


def directory_name(shard_id: ShardId) -> str:
    """Return the fan-out directory: all shards of one extent share it, and so its fsync."""
    return f"{extent_hash(shard_id.data_id, shard_id.part) % DIRECTORIES_COUNT:02x}"


def parse_name(name: str) -> ShardId | None:
    """Return the id that a file name stands for, or None when it is no shard's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    part, block, shard = (int(text) for text in match.groups()[1:])
    if max(part, block) > _U32_MAX:
        return None
    return ShardId(DataId(bytes.fromhex(match[1])), part, block, shard)


def encode_prefix(shard: NewShard) -> bytes:
    """Return the first `PREFIX_BYTES` of the file; hashes the whole payload."""
    header, payload = shard.header, memoryview(shard.payload)
    check(len(payload) == header.payload_bytes, "payload and header disagree about the length")
    check(0 < len(payload) <= SHARD_PAYLOAD_BYTES_MAX, "payload is empty or too large for a shard")
    table = _digests(payload).ljust(_TABLE_BYTES, b"\0")
    shard_id, scheme = header.shard_id, header.scheme
    fields = _FIELDS.pack(
        _MAGIC,
        _VERSION,
        0,
        CHUNK_BYTES,
        shard_id.data_id,
        shard_id.part,
        shard_id.block,
        shard_id.shard,
        scheme.k,
        scheme.m,
        0,
        header.block_bytes,
        header.payload_bytes,
        header.block_checksum,
        _digest(table),
    )
    head = fields + _HEADER_PADDING
    return b"".join((head, _digest(head), table))


def decode_prefix(data: Buffer) -> ShardPrefix:
    """Return what the first `PREFIX_BYTES` of a file say.

    Raises `CorruptShard` for damage and `UnknownFormat` for a newer version. Magic, version, flags
    and the place of the header checksum stay where they are in every version.
    """
    view = memoryview(data)
    if len(view) < PREFIX_BYTES:
        raise CorruptShard("shard file is shorter than its prefix", size=len(view))
    head, table = view[:_CHECKSUM_OFFSET], view[_HEADER_BYTES:PREFIX_BYTES]
    if bytes(view[: len(_MAGIC)]) != _MAGIC:
        raise CorruptShard("shard file does not start with the magic of shards")
    if _digest(head) != view[_CHECKSUM_OFFSET:_HEADER_BYTES]:
        raise CorruptShard("shard header does not match its checksum")
    fields = _FIELDS.unpack_from(head)
    version, flags, chunk_bytes = fields[1:4]
    if version != _VERSION or flags or chunk_bytes != CHUNK_BYTES:
        raise UnknownFormat("shard has another format version", version=version)
    if _digest(table) != fields[14]:
        raise CorruptShard("checksum table of a shard does not match its checksum")
    header = ShardHeader(
        ShardId(DataId(fields[4]), *fields[5:8]), Scheme(*fields[8:10]), *fields[11:14]
    )
    chunks_count = -(-header.payload_bytes // CHUNK_BYTES)
    return ShardPrefix(header, bytes(table[: chunks_count * _CHECKSUM_BYTES]))


def check_identity(prefix: ShardPrefix, expected: ShardId, file_bytes: int) -> None:
    """Raise `CorruptShard` unless this is the shard that was asked for, in its full length.

    Catches writes that went to another file and files that were cut or grew.
    """
    if prefix.header.shard_id != expected:
        raise CorruptShard(
            "shard file holds another shard",
            shard=expected.name,
            found=prefix.header.shard_id.name,
        )
    if prefix.file_bytes != file_bytes:
        raise CorruptShard(
            "shard file has a wrong length",
            shard=expected.name,
            size=file_bytes,
            expected_size=prefix.file_bytes,
        )


def check_chunks(prefix: ShardPrefix, *, first_chunk: int, data: Buffer) -> None:
    """Raise `CorruptShard` unless `data`, whole chunks from `first_chunk` on, matches the table."""
    digests = _digests(memoryview(data))
    start = first_chunk * _CHECKSUM_BYTES
    if prefix.checksums[start : start + len(digests)] != digests:
        raise CorruptShard(
            "chunks of a shard do not match their checksums",
            shard=prefix.header.shard_id.name,
            first_chunk=first_chunk,
            size=len(data),
        )


def _digests(data: memoryview) -> bytes:
    """Checksums of the chunks of `data`, one after the other."""
    return b"".join(
        [_digest(data[start : start + CHUNK_BYTES]) for start in range(0, len(data), CHUNK_BYTES)]
    )

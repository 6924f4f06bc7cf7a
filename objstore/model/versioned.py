"""Versioned, checksummed records: the envelope of everything that is kept or sent.

    offset  bytes  content
    0       1      format version of the payload
    1       8      xxh3-64 of version byte and payload, big endian
    9       n      payload: MessagePack of the record, fields in order (array-like)

Fields are only ever appended, with a default. A change that appending cannot express takes the next version and a
decoder for the old one; a stored sample of every version is kept under `tests/samples` and decoded by a test.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
import xxhash

from objstore.model.errors import CorruptRecord, UnknownFormat

__all__ = ["ENVELOPE_BYTES", "RecordCodec", "verified_payload"]

T = TypeVar("T")

ENVELOPE_BYTES = 9


def verified_payload(data: bytes) -> bytes:
    """Return what is in an envelope, of whichever type and version; raise `CorruptRecord` for damage."""
    if len(data) < ENVELOPE_BYTES:
        raise CorruptRecord("record is shorter than its envelope", size=len(data))
    payload = data[ENVELOPE_BYTES:]
    if xxhash.xxh3_64_digest(data[:1] + payload) != data[1:ENVELOPE_BYTES]:
        raise CorruptRecord("record does not match its checksum", size=len(data))
    return payload


class RecordCodec(Generic[T]):
    """Encodes and decodes one type of record at one current version."""

    def __init__(self, kind: type[T], *, version: int) -> None:
        self._version = version
        self._prefix = bytes([version])
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(kind)

    def encode(self, record: T) -> bytes:
        """Return the record in its envelope."""
        payload = self._encoder.encode(record)
        return b"".join((self._prefix, xxhash.xxh3_64_digest(self._prefix + payload), payload))

    def decode(self, data: bytes) -> T:
        """Return the record; raise `CorruptRecord` for damage, `UnknownFormat` for a newer version."""
        payload = verified_payload(data)
        if data[0] != self._version:
            raise UnknownFormat("record has another format version", version=data[0])
        try:
            return self._decoder.decode(payload)
        except msgspec.DecodeError as error:
            raise CorruptRecord(f"record cannot be decoded: {error}") from error

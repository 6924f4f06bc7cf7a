"""Frames: what two processes of the store say to each other, cut out of a stream of bytes. Pure.

    offset  bytes  content
    0       4      number of bytes that follow, big endian, 1 to `FRAME_BYTES_MAX`
    4       n      MessagePack of one of the frames below, as an array that begins with its tag

A stream opens with `Hello` on both sides. After that both sides may send requests; an id belongs to the side that asked.
What methods and bodies mean is no business of this module.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from objstore.model.errors import CorruptRecord, ObjstoreError, error_from_parts
from objstore.model.limits import MIB

__all__ = [
    "FRAME_BYTES_MAX",
    "PROTOCOL_VERSION",
    "Answer",
    "Cancel",
    "Failure",
    "Frame",
    "FrameDecoder",
    "Hello",
    "Request",
    "encode_frame",
]

PROTOCOL_VERSION: Final = 1
FRAME_BYTES_MAX: Final = 16 * MIB
"""Larger than every message there is: a command holds an inline body or a list of 10,000 parts."""
_LENGTH_BYTES: Final = 4


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Who speaks, and which protocol; the first frame in both directions."""

    version: int
    cluster_id: str
    name: str


class Request(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Ask for something; answered by `Answer` or `Failure` with the same id, or never after a `Cancel`."""

    request_id: int
    method: str
    body: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What a request returned."""

    request_id: int
    body: bytes


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The error that a request raised, or, with id 0, why the stream ends (`ObjstoreError.to_parts`)."""

    request_id: int
    name: str
    message: str
    detail: dict[str, str | int]

    @classmethod
    def of(cls, request_id: int, error: ObjstoreError) -> Failure:
        """Return the frame that carries an error."""
        return cls(request_id, *error.to_parts())

    def error(self) -> ObjstoreError:
        """Return the error as it was raised on the other side."""
        return error_from_parts(self.name, self.message, self.detail)


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Nobody waits for the answer of this request any more."""

    request_id: int


Frame: TypeAlias = Hello | Request | Answer | Failure | Cancel

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Frame]] = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytearray:
    """Return the bytes of a frame; raise `CorruptRecord` for one that is larger than allowed."""
    buffer = bytearray(_LENGTH_BYTES)
    _ENCODER.encode_into(frame, buffer, _LENGTH_BYTES)
    size = len(buffer) - _LENGTH_BYTES
    if size > FRAME_BYTES_MAX:
        raise CorruptRecord("frame is larger than allowed", size=size)
    buffer[:_LENGTH_BYTES] = size.to_bytes(_LENGTH_BYTES, "big")
    return buffer


class FrameDecoder:
    """Cuts frames out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes and return the frames that are whole now, in order.

        Raises `CorruptRecord` for a length out of bounds, as soon as the length is known, and for what is no frame.
        The stream cannot be used after that.
        """
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        start = 0
        while (body := start + _LENGTH_BYTES) <= len(buffer):
            size = int.from_bytes(buffer[start:body], "big")
            if not 0 < size <= FRAME_BYTES_MAX:
                raise CorruptRecord("frame has a length out of bounds", size=size)
            if body + size > len(buffer):
                break
            start = body + size
            with memoryview(buffer) as whole, whole[body:start] as content:
                frames.append(_decode(content))
        del buffer[:start]
        return frames


def _decode(content: memoryview) -> Frame:
    try:
        return _DECODER.decode(content)
    except msgspec.DecodeError as error:
        raise CorruptRecord(f"frame cannot be decoded: {error}") from error

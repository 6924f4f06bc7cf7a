"""The aws-chunked framing of a body, taken off as the bytes arrive (s3 rules 2.4).

    <hex size>[;chunk-signature=<64 hex>] CRLF <data> CRLF   ...   0[;chunk-signature=...] CRLF
    [<name>:<value> CRLF ...] CRLF

`AwsChunkedDecoder` promises payload pieces that are views of what was fed, bounded memory whatever
the sizes that the client announces, and linear time however the bytes are cut. A piece is handed on
before the signature over its chunk is known: the caller commits nothing until `finish` returns.

Chunk headers are strict, because a lenient reader of lengths can be made to disagree with another.
Trailers are lenient about line ends, because clients differ (2.4.2). Whether the trailing checksum
fits the data is the caller's comparison.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from typing import Final, TypeAlias

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import EMPTY_SHA256, decode_digest
from objstore.model.errors import (
    BadRequestError,
    EntityTooLarge,
    IncompleteBody,
    MalformedTrailer,
    check,
)
from objstore.model.limits import (
    CHUNK_HEADER_BYTES_MAX,
    SINGLE_PUT_BYTES_MAX,
    TRAILER_BYTES_MAX,
)
from objstore.s3.signature.chunked import ChunkChain
from objstore.s3.signature.outcome import Anonymous, Authenticated

__all__ = ["AwsChunkedDecoder"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_CHUNK_HEADER: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?\r\n")
_LINE_END: Final = b"\r\n"
_TRAILER_SIGNATURE: Final = b"x-amz-trailer-signature"


class _State(Enum):
    HEADER = "in the line before a chunk"
    DATA = "in the data of a chunk"
    DATA_END = "in the line end after the data"
    TAIL = "after the last chunk"


class AwsChunkedDecoder:
    """Takes the framing off one body. After an error the decoder is of no further use.

    `chain` verifies the signatures of a signed stream; without it chunk signatures are ignored.
    `trailer_algorithm` is the checksum that `x-amz-trailer` announced, and then it must come.
    `size_bytes` is the decoded length where the client stated one (2.4.4).
    """

    __slots__ = (
        "_chain",
        "_hash",
        "_line",
        "_line_end_seen",
        "_remaining",
        "_signature",
        "_size",
        "_size_expected",
        "_state",
        "_tail",
        "_trailer_algorithm",
    )

    def __init__(
        self,
        *,
        chain: ChunkChain | None,
        trailer_algorithm: ChecksumAlgorithm | None = None,
        size_bytes: int | None = None,
    ) -> None:
        self._chain = chain
        self._trailer_algorithm = trailer_algorithm
        self._size_expected = size_bytes
        self._size = 0
        self._state = _State.HEADER
        self._line = bytearray()
        self._line_end_seen = 0
        self._remaining = 0
        self._signature = b""
        self._hash = hashlib.sha256()
        self._tail = bytearray()

    @classmethod
    def for_request(
        cls,
        proof: Authenticated | Anonymous,
        *,
        trailer_algorithm: ChecksumAlgorithm | None,
        size_bytes: int | None = None,
    ) -> AwsChunkedDecoder:
        """Return the decoder for a request whose payload mode is chunked."""
        mode = proof.payload.mode
        check(mode.is_chunked, "the payload of this request is not chunked")
        chain = None
        if mode.is_signed_stream:
            if not isinstance(proof, Authenticated):
                raise BadRequestError("an anonymous request has no seed for chunk signatures")
            chain = ChunkChain(proof)
        return cls(chain=chain, trailer_algorithm=trailer_algorithm, size_bytes=size_bytes)

    @property
    def size_bytes(self) -> int:
        """Payload bytes handed out so far."""
        return self._size - self._remaining

    def feed(self, data: Buffer) -> list[memoryview]:
        """Return the payload in this piece of the stream, as views of it.

        Raises `IncompleteBody` for broken framing, `EntityTooLarge` beyond 5 GiB,
        `SignatureDoesNotMatch` for a chunk and `MalformedTrailer` for a tail without end.
        """
        view = memoryview(data)
        pieces: list[memoryview] = []
        position = 0
        while position < len(view):
            if self._state is _State.DATA:
                piece = view[position : position + self._remaining]
                self._take(piece)
                pieces.append(piece)
                position += len(piece)
            elif self._state is _State.HEADER:
                position += self._read_header(view[position:])
            elif self._state is _State.DATA_END:
                position += self._read_line_end(view[position:])
            else:
                self._read_tail(view[position:])
                break
        return pieces

    def finish(self) -> Checksum | None:
        """Judge the end of the stream; return the checksum of the trailer, None without one.

        Raises `IncompleteBody` for an early end or another length than announced, `MalformedTrailer`
        or `SignatureDoesNotMatch` for the trailer, `BadRequestError` for a value that is no digest.
        """
        if self._state is not _State.TAIL:
            raise IncompleteBody(f"the body ended {self._state.value}")
        if self._size_expected is not None and self._size != self._size_expected:
            raise IncompleteBody("the body is shorter than its announced decoded length")
        trailers = _parse_tail(bytes(self._tail))
        if self._chain is not None:
            self._check_trailer_signature(self._chain, trailers)
        return self._checksum(trailers)

    # --- chunks --------------------------------------------------------------------------------

    def _take(self, piece: memoryview) -> None:
        self._remaining -= len(piece)
        if self._chain is not None:
            self._hash.update(piece)
        if self._remaining == 0:
            self._state = _State.DATA_END
            if self._chain is not None:
                self._chain.check_chunk(self._hash.digest(), self._signature)

    def _read_header(self, view: memoryview) -> int:
        """Take bytes up to the end of the line; return how many."""
        window = bytes(view[: CHUNK_HEADER_BYTES_MAX + 1])
        taken = window.find(b"\n") + 1 or len(window)
        self._line += window[:taken]
        if len(self._line) > CHUNK_HEADER_BYTES_MAX:
            raise IncompleteBody("a chunk header is too long")
        if self._line.endswith(b"\n"):
            line = bytes(self._line)
            self._line.clear()
            self._begin_chunk(line)
        return taken

    def _begin_chunk(self, line: bytes) -> None:
        header = _CHUNK_HEADER.fullmatch(line)
        if header is None:
            raise IncompleteBody("a chunk header is malformed")
        self._signature = header.group(2) or b""
        if self._chain is not None and not self._signature:
            raise IncompleteBody("a chunk of a signed stream carries no signature")
        size = int(header.group(1), 16)
        self._size += size
        self._check_size()
        if size > 0:
            self._remaining = size
            self._state = _State.DATA
            if self._chain is not None:
                self._hash = hashlib.sha256()
            return
        self._state = _State.TAIL
        if self._chain is not None:
            self._chain.check_chunk(EMPTY_SHA256, self._signature)

    def _check_size(self) -> None:
        # Judged from the header, before any of the data is taken.
        if self._size_expected is not None and self._size > self._size_expected:
            raise IncompleteBody("the body is longer than its announced decoded length")
        if self._size > SINGLE_PUT_BYTES_MAX:
            raise EntityTooLarge(proposed_size=self._size, max_size_allowed=SINGLE_PUT_BYTES_MAX)

    def _read_line_end(self, view: memoryview) -> int:
        taken = min(len(view), len(_LINE_END) - self._line_end_seen)
        expected = _LINE_END[self._line_end_seen : self._line_end_seen + taken]
        if view[:taken] != expected:
            raise IncompleteBody("the data of a chunk does not end where its header says")
        self._line_end_seen += taken
        if self._line_end_seen == len(_LINE_END):
            self._line_end_seen = 0
            self._state = _State.HEADER
        return taken

    # --- trailer -------------------------------------------------------------------------------

    def _read_tail(self, view: memoryview) -> None:
        if len(self._tail) + len(view) > TRAILER_BYTES_MAX:
            raise MalformedTrailer("the trailer is too long")
        self._tail += view

    def _check_trailer_signature(self, chain: ChunkChain, trailers: dict[bytes, bytes]) -> None:
        """Verify and remove the signature line; trailers without one are refused (2.4.5)."""
        provided = trailers.pop(_TRAILER_SIGNATURE, None)
        if provided is not None:
            chain.check_trailer(trailers.items(), provided)
        elif trailers:
            raise MalformedTrailer("the trailer of a signed stream carries no signature")

    def _checksum(self, trailers: dict[bytes, bytes]) -> Checksum | None:
        """Hold the trailers against what `x-amz-trailer` announced (s3 rule 2.4.6)."""
        algorithm = self._trailer_algorithm
        if algorithm is None:
            if trailers:
                raise MalformedTrailer("the trailer was not announced by x-amz-trailer")
            return None
        name = f"x-amz-checksum-{algorithm.value}"
        if list(trailers) != [name.encode("ascii")]:
            raise MalformedTrailer("the trailer is not the one that x-amz-trailer announced")
        digest = decode_digest(algorithm, trailers[name.encode("ascii")])
        if digest is None:
            raise BadRequestError(f"Value for {name} trailing header is invalid.")
        return Checksum(algorithm, ChecksumType.FULL_OBJECT, digest)


def _parse_tail(tail: bytes) -> dict[bytes, bytes]:
    """Return the trailers by lower-case name; empty lines may stand anywhere (2.4.2)."""
    if not tail.endswith(b"\n"):
        raise IncompleteBody("the body ended after its last chunk")
    trailers: dict[bytes, bytes] = {}
    for line in tail.split(b"\n"):
        text = line.removesuffix(b"\r")
        if not text:
            continue
        name, colon, value = text.partition(b":")
        name = name.lower()
        if not colon or not name or name in trailers:
            raise MalformedTrailer("a line of the trailer is malformed")
        trailers[name] = value.strip()
    return trailers

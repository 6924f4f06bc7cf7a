"""What a request says about its body: length, digests, and the checksum that a trailer will bring (s3 rules 3.1, 3.3).

This judges the statements only. The body reader computes and compares; nothing is stored when a comparison fails
(s3 rule 3.3.6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import decode_digest, encode_digest, traits_of
from objstore.model.errors import (
    BadRequestError,
    EntityTooLarge,
    InvalidArgument,
    InvalidDigest,
    MalformedTrailer,
    MissingContentLength,
    NotImplementedByStore,
)
from objstore.model.limits import SINGLE_PUT_BYTES_MAX
from objstore.s3.request import Headers, S3Request

__all__ = [
    "BodyExpectations",
    "algorithm_header",
    "checksum_headers",
    "checksum_text",
    "checksum_type_of",
    "expected_checksums",
    "new_upload_checksum",
    "object_checksum",
    "require_digest",
]

_ALGORITHMS: Final[Mapping[str, ChecksumAlgorithm]] = {
    algorithm.value: algorithm for algorithm in ChecksumAlgorithm
}

_PREFIX: Final = "x-amz-checksum-"
_NOT_VALUES: Final = frozenset(
    {"x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"}
)
_STREAMING: Final = "STREAMING-"
_TRAILER_SUFFIX: Final = "-TRAILER"
_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_COMPOSITE_VALUE: Final = re.compile(r"([A-Za-z0-9+/=]+)-([1-9][0-9]{0,4})", re.ASCII)
_MULTIPLE_TEXT: Final = (
    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
)


class BodyExpectations(msgspec.Struct, frozen=True, gc=False):
    """What must be true of a body once it is complete."""

    content_md5: bytes | None
    """16 raw bytes of Content-MD5."""
    checksum: Checksum | None
    """The value that came in a header; always FULL_OBJECT."""
    trailer_algorithm: ChecksumAlgorithm | None
    """The checksum that the trailer of an aws-chunked body shall carry."""
    size_bytes: int | None
    """Announced length of the decoded body; None where only the end of the stream will tell."""

    @property
    def algorithm(self) -> ChecksumAlgorithm | None:
        """The algorithm that the client chose, however its value comes."""
        return self.trailer_algorithm if self.checksum is None else self.checksum.algorithm


def expected_checksums(
    request: S3Request,
    *,
    size_bytes_max: int = SINGLE_PUT_BYTES_MAX,
    is_length_required: bool = True,
) -> BodyExpectations:
    """Read everything that the headers state about the body.

    Without a length and without a transfer coding there is no body (RFC 9112 section 6.3). That is refused where the body is
    the object (s3 rule 1.6.2); elsewhere `is_length_required=False` takes it as empty: `curl -X PUT` makes a bucket so.

    For CompleteMultipartUpload the value headers speak of the object and not of the document, and are left out here
    (s3 rule 3.5.7). Raises `InvalidDigest`, `BadRequestError`, `MalformedTrailer`, `MissingContentLength`,
    `EntityTooLarge`, `InvalidArgument`, or `NotImplementedByStore` for a transfer coding.
    """
    headers = request.headers
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        # Of the transfer codings only this one says where a body ends (RFC 9112 section 6.1).
        raise NotImplementedByStore(header="Transfer-Encoding")
    speaks_of_object = request.method == "POST" and "uploadId" in request.query
    checksum = None if speaks_of_object else _value_header(headers)
    trailer = _trailer_algorithm(headers)
    if checksum is not None and trailer is not None:
        raise BadRequestError(_MULTIPLE_TEXT)
    expectations = BodyExpectations(
        content_md5=_content_md5(headers),
        checksum=checksum,
        trailer_algorithm=trailer,
        size_bytes=_announced_size(headers, size_bytes_max, is_required=is_length_required),
    )
    if not speaks_of_object:
        _check_sdk_algorithm(headers, expectations.algorithm)
    return expectations


def require_digest(headers: Headers) -> None:
    """Raise `BadRequestError` unless a digest of the body is announced (s3 rule 3.1.2)."""
    if "content-md5" in headers or "x-amz-trailer" in headers:
        return
    if any(name.startswith(_PREFIX) and name not in _NOT_VALUES for name in headers):
        return
    raise BadRequestError(
        "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
    )


# --- values -----------------------------------------------------------------------------------------------------


def _algorithm_of_header(name: str) -> ChecksumAlgorithm:
    """Return the algorithm of a header name `x-amz-checksum-<alg>`. Raises `BadRequestError` for unknown ones."""
    algorithm = _ALGORITHMS.get(name.removeprefix(_PREFIX))
    if algorithm is None:
        raise BadRequestError(
            "The algorithm type you specified in x-amz-checksum- header is invalid."
        )
    return algorithm


def _checksum_value(algorithm: ChecksumAlgorithm, text: str) -> bytes:
    """Return the raw digest of a header value. Raises `BadRequestError` (s3 rule 3.3.2)."""
    digest = decode_digest(algorithm, text)
    if digest is None:
        raise BadRequestError(f"Value for {_PREFIX}{algorithm.value} header is invalid.")
    return digest


def _single_value_header(headers: Headers) -> tuple[ChecksumAlgorithm, str] | None:
    """Find the one header that carries a checksum value. Raises `BadRequestError` for several or unknown ones."""
    found: tuple[ChecksumAlgorithm, str] | None = None
    for name, value in headers.items():
        if not name.startswith(_PREFIX) or name in _NOT_VALUES:
            continue
        algorithm = _algorithm_of_header(name)
        if found is not None:
            raise BadRequestError(_MULTIPLE_TEXT)
        found = algorithm, value
    return found


def _value_header(headers: Headers) -> Checksum | None:
    found = _single_value_header(headers)
    if found is None:
        return None
    algorithm, value = found
    return Checksum(algorithm, ChecksumType.FULL_OBJECT, _checksum_value(algorithm, value))


def _content_md5(headers: Headers) -> bytes | None:
    value = headers.get("content-md5")
    if value is None:
        return None
    digest = decode_digest(ChecksumAlgorithm.MD5, value)
    if digest is None:
        raise InvalidDigest("The Content-MD5 you specified was invalid.", content_md5=value)
    return digest


def _trailer_algorithm(headers: Headers) -> ChecksumAlgorithm | None:
    """Read `x-amz-trailer` (s3 rule 2.4.6)."""
    value = headers.get("x-amz-trailer")
    if value is None:
        return None
    names = [name.strip().lower() for name in value.split(",")]
    if len(names) > 1 and all(name.startswith(_PREFIX) for name in names):
        raise BadRequestError(_MULTIPLE_TEXT)
    algorithm = _ALGORITHMS.get(names[0].removeprefix(_PREFIX))
    if len(names) > 1 or not names[0].startswith(_PREFIX) or algorithm is None:
        raise BadRequestError("The value specified in the x-amz-trailer header is not supported")
    if not headers.get("x-amz-content-sha256", "").endswith(_TRAILER_SUFFIX):
        # Accepted, the promised checksum would never come and the body would pass unverified.
        raise MalformedTrailer
    return algorithm


def _check_sdk_algorithm(headers: Headers, sent: ChecksumAlgorithm | None) -> None:
    """Hold `x-amz-sdk-checksum-algorithm` against what was sent (s3 rule 3.3.3)."""
    value = headers.get("x-amz-sdk-checksum-algorithm")
    if value is None:
        return
    if sent is None:
        raise BadRequestError(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found."
        )
    if value.lower() != sent.value:
        raise BadRequestError("Value for x-amz-sdk-checksum-algorithm header is invalid.")


def _announced_size(headers: Headers, size_bytes_max: int, *, is_required: bool) -> int | None:
    """Read the announced length of the decoded body (s3 rules 1.6.2, 1.6.3, 2.4.4)."""
    is_streaming = headers.get("x-amz-content-sha256", "").startswith(_STREAMING)
    name = "x-amz-decoded-content-length" if is_streaming else "content-length"
    value = headers.get(name)
    if value is None:
        if is_streaming or "transfer-encoding" in headers:
            return None
        if not is_required:
            return 0
        raise MissingContentLength
    if _DIGITS.fullmatch(value) is None:
        raise InvalidArgument(
            "The length of the body must be a whole number.",
            argument_name=name,
            argument_value=value,
        )
    size = int(value)
    if size > size_bytes_max:
        raise EntityTooLarge(proposed_size=size, max_size_allowed=size_bytes_max)
    return size


# --- objects and uploads ----------------------------------------------------------------------------------------


def algorithm_header(headers: Headers) -> ChecksumAlgorithm | None:
    """Read `x-amz-checksum-algorithm`, in any case (s3 rules 3.3.4, 3.3.5). Raises `BadRequestError`."""
    value = headers.get("x-amz-checksum-algorithm")
    if value is None:
        return None
    algorithm = _ALGORITHMS.get(value.lower())
    if algorithm is None:
        valid = ", ".join(known.name for known in ChecksumAlgorithm)
        raise BadRequestError(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            f"types: [{valid}]"
        )
    return algorithm


def checksum_type_of(headers: Headers) -> ChecksumType | None:
    """Read `x-amz-checksum-type`. Raises `BadRequestError` for an unknown one."""
    value = headers.get("x-amz-checksum-type")
    if value is None:
        return None
    try:
        return ChecksumType(value.upper())
    except ValueError as error:
        raise BadRequestError("Value for x-amz-checksum-type header is invalid.") from error


def new_upload_checksum(
    headers: Headers,
) -> tuple[ChecksumAlgorithm | None, ChecksumType | None]:
    """Resolve algorithm and type of a new multipart upload: both, or neither (s3 rules 3.3.4 and 3.5.1)."""
    algorithm, wanted = algorithm_header(headers), checksum_type_of(headers)
    if algorithm is None:
        if wanted is not None:
            raise BadRequestError(
                "The x-amz-checksum-type header can only be used with the "
                "x-amz-checksum-algorithm header."
            )
        return None, None
    traits = traits_of(algorithm)
    resolved = wanted or traits.multipart_type_default
    if resolved not in traits.multipart_types:
        raise BadRequestError(
            f"The {resolved.value} checksum type cannot be used with the {algorithm.value} "
            "checksum algorithm."
        )
    return algorithm, resolved


def object_checksum(headers: Headers) -> Checksum | None:
    """Read the value header of CompleteMultipartUpload, with or without `-<parts>` (s3 rule 3.5.7)."""
    found = _single_value_header(headers)
    if found is None:
        return None
    algorithm, value = found
    match = _COMPOSITE_VALUE.fullmatch(value)
    if match is None:
        return Checksum(algorithm, ChecksumType.FULL_OBJECT, _checksum_value(algorithm, value))
    digest = _checksum_value(algorithm, match[1])
    return Checksum(algorithm, ChecksumType.COMPOSITE, digest, int(match[2]))


# --- answers ----------------------------------------------------------------------------------------------------


def checksum_text(checksum: Checksum) -> str:
    """Return the value as headers and documents show it; composite ones end in `-<parts>` (s3 rule 3.4.5)."""
    text = encode_digest(checksum.digest)
    if checksum.type is ChecksumType.COMPOSITE and checksum.parts_count:
        return f"{text}-{checksum.parts_count}"
    return text


def checksum_headers(checksum: Checksum | None) -> list[tuple[bytes, bytes]]:
    """Return `x-amz-checksum-<alg>` and `x-amz-checksum-type` (s3 rule 3.4.1); nothing for None."""
    if checksum is None:
        return []
    return [
        (f"{_PREFIX}{checksum.algorithm.value}".encode(), checksum_text(checksum).encode()),
        (b"x-amz-checksum-type", checksum.type.value.encode()),
    ]

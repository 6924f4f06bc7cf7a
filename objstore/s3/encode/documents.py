"""What several documents share: replies with XML, dates, owners, checksums, url-encoded names."""

from __future__ import annotations

from typing import Final

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.names import CanonicalId, VersionId
from objstore.s3.checksums import checksum_text
from objstore.s3.reply import HeaderPairs, Reply
from objstore.s3.xml import document, escape_bytes, tag

__all__ = [
    "LISTED_AS_THEY_ARE",
    "algorithm_elements",
    "checksum_elements",
    "encode_url",
    "name_text",
    "owner_element",
    "version_header",
    "xml_reply",
]

_XML_TYPE: Final = (b"Content-Type", b"application/xml")

LISTED_AS_THEY_ARE: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.*/"
"""Bytes that `encoding-type=url` leaves alone (s3 rule 5.1.11)."""
_URL_TABLE: Final = [
    chr(byte) if byte in LISTED_AS_THEY_ARE else f"%{byte:02X}" for byte in range(256)
]


def xml_reply(root: str, inner: str, headers: HeaderPairs | None = None) -> Reply:
    """Return 200 with a document in the S3 namespace (s3 rule 1.7.4)."""
    return Reply(200, [_XML_TYPE, *(headers or ())], document(root, inner))


def version_header(version_id: VersionId | None) -> HeaderPairs:
    """Return `x-amz-version-id`, or nothing where no version shall show."""
    return [] if version_id is None else [(b"x-amz-version-id", version_id.encode())]


def owner_element(owner: CanonicalId) -> str:
    """Return `<Owner>`; S3 shows no display names any more (s3 rule 5.1.13)."""
    return f"<Owner>{tag('ID', owner)}</Owner>"


def checksum_elements(checksum: Checksum | None) -> str:
    """Return `<ChecksumX>` and `<ChecksumType>`; nothing for None."""
    if checksum is None:
        return ""
    name = f"Checksum{checksum.algorithm.name}"
    return (
        f"<{name}>{checksum_text(checksum)}</{name}>"
        f"<ChecksumType>{checksum.type.value}</ChecksumType>"
    )


def algorithm_elements(
    algorithm: ChecksumAlgorithm | None, checksum_type: ChecksumType | None
) -> str:
    """Return `<ChecksumAlgorithm>` and `<ChecksumType>`; nothing where there is no algorithm."""
    if algorithm is None:
        return ""
    text = f"<ChecksumAlgorithm>{algorithm.name}</ChecksumAlgorithm>"
    if checksum_type is not None:
        text += f"<ChecksumType>{checksum_type.value}</ChecksumType>"
    return text


def encode_url(name: bytes) -> str:
    """Encode a key for `encoding-type=url`; blanks as `%20`, which every decoder reads (s3 rule 5.1.11)."""
    return "".join(map(_URL_TABLE.__getitem__, name))


def name_text(name: bytes, *, encodes_url: bool) -> str:
    """Return a key, prefix, marker or delimiter as a listing shows it."""
    return encode_url(name) if encodes_url else escape_bytes(name)

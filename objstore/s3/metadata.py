"""Metadata of objects: the seven system headers and `x-amz-meta-*` (s3 rules 4.4 and 4.6).

Values are kept as text. What comes in as an RFC 2047 encoded word is decoded; what goes out and is not plain ASCII is
encoded the same way, so that a header never carries bytes that a client could misread. System headers are kept and
returned verbatim.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final
from unicodedata import category

from objstore.model.errors import InvalidArgument, InvalidRedirectLocation, MetadataTooLarge
from objstore.model.limits import REDIRECT_LOCATION_BYTES_MAX, USER_METADATA_BYTES_MAX
from objstore.model.objects import SystemMetadata, UserMetadata

__all__ = [
    "DEFAULT_CONTENT_TYPE",
    "USER_METADATA_PREFIX",
    "decode_words",
    "encode_words",
    "redirect_location",
    "system_metadata",
    "user_metadata",
]

DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
"""S3 rule 4.4.2."""
USER_METADATA_PREFIX: Final = "x-amz-meta-"

_PREFIX_LENGTH: Final = len(USER_METADATA_PREFIX)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters that no header value may hold; a tab may stand in one."""
_REDIRECT_STARTS: Final = ("/", "http://", "https://")
_STREAM_CODING: Final = "aws-chunked"


# --- system headers ---------------------------------------------------------------------------------------------


def system_metadata(headers: Mapping[str, str]) -> SystemMetadata:
    """Take the headers of s3 rule 4.4.1 from a request; an empty value counts as absent.

    Raises `InvalidArgument` for control characters (a presigned URL or a form could bring them) and
    `InvalidRedirectLocation`.
    """
    return SystemMetadata(
        content_type=_verbatim(headers, "content-type"),
        cache_control=_verbatim(headers, "cache-control"),
        content_disposition=_verbatim(headers, "content-disposition"),
        content_encoding=_content_encoding(headers),
        content_language=_verbatim(headers, "content-language"),
        expires=_verbatim(headers, "expires"),
        website_redirect_location=redirect_location(headers),
    )


def redirect_location(headers: Mapping[str, str]) -> str | None:
    """Take `x-amz-website-redirect-location`. Raises `InvalidRedirectLocation` (s3 rule 4.4.4)."""
    value = _verbatim(headers, "x-amz-website-redirect-location")
    if value is None:
        return None
    if not value.startswith(_REDIRECT_STARTS):
        raise InvalidRedirectLocation(
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        )
    if len(value.encode()) > REDIRECT_LOCATION_BYTES_MAX:
        raise InvalidRedirectLocation(
            "The length of website redirect location cannot exceed 2,048 characters."
        )
    return value


def _verbatim(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    if not value:
        return None
    if _CONTROL.search(value) is not None:
        raise InvalidArgument(
            "Header value contains control characters.", argument_name=name, argument_value=value
        )
    return value


def _content_encoding(headers: Mapping[str, str]) -> str | None:
    """Take Content-Encoding without `aws-chunked`, which describes the transfer (s3 rule 2.4.9)."""
    value = _verbatim(headers, "content-encoding")
    if value is None or _STREAM_CODING not in value.lower():
        return value
    kept = [coding.strip() for coding in value.split(",")]
    return (
        ",".join(coding for coding in kept if coding and coding.lower() != _STREAM_CODING) or None
    )


# --- user metadata ----------------------------------------------------------------------------------------------


def user_metadata(headers: Mapping[str, str], *, decodes_words: bool = True) -> UserMetadata:
    """Take all `x-amz-meta-*` headers; form fields pass `decodes_words=False` (s3 rule 4.6.4).

    Raises `MetadataTooLarge`, and `InvalidArgument` for a name that could not be sent back as a header.
    """
    found: list[tuple[str, str]] = []
    size = 0
    for header, value in headers.items():
        if not header.startswith(USER_METADATA_PREFIX):
            continue
        name = header[_PREFIX_LENGTH:]
        if _TOKEN.fullmatch(name) is None:
            raise InvalidArgument(
                "Metadata names must be valid header names.",
                argument_name=header,
                argument_value=value,
            )
        text = decode_words(value) if decodes_words else value
        size += len(name) + len(text.encode("utf-8", "surrogatepass"))
        found.append((name, text))
    if size > USER_METADATA_BYTES_MAX:
        raise MetadataTooLarge(size=size, max_size_allowed=USER_METADATA_BYTES_MAX)
    return tuple(found)


# --- RFC 2047 ---------------------------------------------------------------------------------------------------

_ENCODED_WORD: Final = re.compile(r"=\?([A-Za-z0-9_-]+)\?([BbQq])\?([!->@-~]*)\?=", re.ASCII)
_BETWEEN_WORDS: Final = re.compile(r"(\?=)[ \t]+(?==\?[A-Za-z0-9_-]+\?[BbQq]\?)", re.ASCII)
_Q_ESCAPE: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_CHARSETS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
}
_PLAIN: Final = re.compile(r"[ -~]*", re.ASCII)
_Q_TABLE: Final = {
    byte: chr(byte) if 0x21 <= byte <= 0x7E and chr(byte) not in "=?_" else f"={byte:02X}"
    for byte in range(256)
} | {0x20: "_"}


def decode_words(value: str) -> str:
    """Replace the encoded words in a value by their text; what is malformed stays as it is (s3 rule 4.6.4)."""
    if "=?" not in value:
        return value
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", value))


def _decode_word(match: re.Match[str]) -> str:
    charset = _CHARSETS.get(match[1].lower())
    if charset is None:
        return match[0]
    payload = match[3].encode("ascii")
    try:
        if match[2] in "Bb":
            return binascii.a2b_base64(payload, strict_mode=True).decode(charset)
        plain = payload.replace(b"_", b" ")
        return _Q_ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), plain).decode(charset)
    except ValueError:  # binascii.Error and UnicodeDecodeError
        return match[0]


def encode_words(value: str) -> str:
    """Return the value as a header shows it (s3 rule 4.6.3): plain, or one encoded word in UTF-8."""
    if _PLAIN.fullmatch(value) is not None:
        return value
    raw = value.encode("utf-8", "surrogatepass")
    if any(category(character) == "Cc" for character in value):
        return f"=?UTF-8?B?{binascii.b2a_base64(raw, newline=False).decode('ascii')}?="
    return f"=?UTF-8?Q?{''.join(map(_Q_TABLE.__getitem__, raw))}?="

"""Tag sets: the `x-amz-tagging` header and the Tagging document (s3 rule 4.8).

Both ways in end in the same rules about characters, lengths, reserved names and number. A document keeps its order; the header, a
query without one, is put in the order of its keys, which the public suite expects (S3 promises none, rule 4.8.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from unicodedata import category
from urllib.parse import unquote_plus

from objstore.model.errors import InvalidArgument, InvalidTag, MalformedXml, TooManyTags
from objstore.model.limits import (
    BUCKET_TAGS_MAX,
    OBJECT_TAGS_MAX,
    TAG_KEY_UNITS_MAX,
    TAG_VALUE_UNITS_MAX,
)
from objstore.model.objects import Tags
from objstore.s3.xml import Element

__all__ = ["bucket_tags", "object_tags", "parse_tagging_header", "tag_set_of"]

_HEADER_TEXT: Final = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
    "without tag name duplicates."
)
_RESERVED_PREFIX: Final = "aws:"
_SIMPLE: Final = re.compile(r"[A-Za-z0-9 +\-=._:/@]*", re.ASCII)
_PUNCTUATION: Final = frozenset("+-=._:/@")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)


def parse_tagging_header(text: str) -> Tags:
    """Read `x-amz-tagging` (s3 rule 4.8.2); an empty header means no tags.

    Raises `InvalidArgument` for malformed text and duplicates, `InvalidTag` and `TooManyTags` as documents do.
    """
    pairs = [_split_pair(piece, text) for piece in text.split("&") if piece]
    if len({key for key, _ in pairs}) != len(pairs):
        raise _bad_header(text)
    return _checked_for_objects(sorted(pairs))


def _split_pair(piece: str, text: str) -> tuple[str, str]:
    if _BAD_ESCAPE.search(piece) is not None:
        raise _bad_header(text)
    key, _, value = piece.partition("=")
    try:
        return unquote_plus(key, errors="strict"), unquote_plus(value, errors="strict")
    except UnicodeDecodeError as error:
        raise _bad_header(text) from error


def _bad_header(text: str) -> InvalidArgument:
    return InvalidArgument(_HEADER_TEXT, argument_name="x-amz-tagging", argument_value=text)


def object_tags(document: Element) -> Tags:
    """Read the Tagging document of an object. Raises `MalformedXml`, `InvalidTag`, `TooManyTags`."""
    return _checked_for_objects(_unique(_pairs_of_document(document)))


def bucket_tags(document: Element) -> Tags:
    """Read the Tagging document of a bucket. Raises `MalformedXml`, `InvalidTag`, `TooManyTags`."""
    return _checked_for_buckets(_unique(_pairs_of_document(document)))


def tag_set_of(parent: Element) -> Tags:
    """Read the Tag children of a bucket's new configuration (s3 rule 6.11.1); errors as `bucket_tags`."""
    return _checked_for_buckets(_unique(_pairs_of(parent)))


def _pairs_of_document(document: Element) -> list[tuple[str, str]]:
    document.only(("TagSet",))
    tag_set = document.child("TagSet")
    if tag_set is None:
        raise MalformedXml
    return _pairs_of(tag_set)


def _pairs_of(tag_set: Element) -> list[tuple[str, str]]:
    tag_set.only(("Tag",))
    pairs = []
    for element in tag_set.children:
        key, value = element.text_of("Key"), element.text_of("Value")
        if key is None or value is None:
            raise MalformedXml
        pairs.append((key, value))
    return pairs


def _unique(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidTag("Cannot provide multiple Tags with the same key", tag_key=key)
        seen.add(key)
    return pairs


def _checked_for_objects(pairs: list[tuple[str, str]]) -> Tags:
    if len(pairs) > OBJECT_TAGS_MAX:
        raise TooManyTags(f"Object tags cannot be greater than {OBJECT_TAGS_MAX}")
    _check_each(pairs, reserved_text="Your TagKey cannot be prefixed with aws:")
    return tuple(pairs)


def _checked_for_buckets(pairs: list[tuple[str, str]]) -> Tags:
    if len(pairs) > BUCKET_TAGS_MAX:
        raise TooManyTags(f"Bucket tag count cannot be greater than {BUCKET_TAGS_MAX}")
    _check_each(pairs, reserved_text="System tags cannot be added/updated by requester")
    return tuple(pairs)


def _check_each(pairs: Iterable[tuple[str, str]], *, reserved_text: str) -> None:
    for key, value in pairs:
        if not key or not _fits(key, units_max=TAG_KEY_UNITS_MAX):
            raise InvalidTag("The TagKey you have provided is invalid", tag_key=key)
        if key.lower().startswith(_RESERVED_PREFIX):
            raise InvalidTag(reserved_text, tag_key=key)
        if not _fits(value, units_max=TAG_VALUE_UNITS_MAX):
            raise InvalidTag(
                "The TagValue you have provided is invalid", tag_key=key, tag_value=value
            )


def _fits(text: str, *, units_max: int) -> bool:
    """Tell whether length (in UTF-16 code units) and characters are allowed (s3 rule 4.8.1)."""
    if _SIMPLE.fullmatch(text) is not None:
        return len(text) <= units_max
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 > units_max:
        return False
    return all(character in _PUNCTUATION or category(character)[0] in "LNZ" for character in text)

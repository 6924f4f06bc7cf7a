"""Where a copy takes its bytes from: `x-amz-copy-source`, its conditions and its range (s3 rules 4.9.1, 4.10.1)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

from objstore.model.errors import BadRequestError, InvalidArgument, KeyTooLong
from objstore.model.limits import KEY_BYTES_MAX
from objstore.model.names import BucketName, ObjectKey, VersionId, is_bucket_name
from objstore.s3.arguments import parse_version_id
from objstore.s3.conditional import parse_etags
from objstore.s3.dates import parse_http_date
from objstore.s3.inputs import CopySource, ReadConditions
from objstore.s3.request import Headers

__all__ = ["check_source_range", "copy_source", "parse_source", "parse_source_range"]

_HEADER: Final = "x-amz-copy-source"
_RANGE_HEADER: Final = "x-amz-copy-source-range"
_VERSION_MARK: Final = "?versionId="
_RANGE: Final = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})", re.ASCII)


def copy_source(headers: Headers) -> CopySource:
    """Read the source of a copy with its conditions.

    Raises `InvalidArgument` for a source that cannot be read, `KeyTooLong`.
    """
    bucket, key, version_id = parse_source(headers.get(_HEADER, ""))
    prefix = f"{_HEADER}-if-"
    conditions = ReadConditions(
        if_match=parse_etags(headers.get(f"{prefix}match")),
        if_none_match=parse_etags(headers.get(f"{prefix}none-match")),
        if_modified_since_s=_date(headers.get(f"{prefix}modified-since")),
        if_unmodified_since_s=_date(headers.get(f"{prefix}unmodified-since")),
    )
    owner = headers.get("x-amz-source-expected-bucket-owner")
    return CopySource(bucket, key, version_id, conditions, owner)


def parse_source(value: str) -> tuple[BucketName, ObjectKey, VersionId | None]:
    """Split `[/]bucket/key[?versionId=id]`, percent-encoded once, in part, as a whole or not at all.

    The version is cut off before anything is decoded: an encoded question mark belongs to the key.
    """
    path, mark, version = value.partition(_VERSION_MARK)
    text = _decoded(path, value).removeprefix("/")
    bucket, _, key = text.partition("/")
    if not key:
        raise _refused("Invalid copy source object key", value)
    if not is_bucket_name(bucket):
        raise _refused("Invalid copy source bucket name", value)
    raw_key = key.encode()
    if len(raw_key) > KEY_BYTES_MAX:
        raise KeyTooLong(size=len(raw_key), max_size_allowed=KEY_BYTES_MAX)
    version_id = parse_version_id(_decoded(version, value)) if mark else None
    return BucketName(bucket), ObjectKey(raw_key), version_id


def parse_source_range(text: str | None) -> tuple[int, int] | None:
    """Read `x-amz-copy-source-range`, inclusive on both ends; None when absent.

    Strict where Range is lenient: every other form is `InvalidArgument` (s3 rule 4.10.1).
    """
    if text is None:
        return None
    match = _RANGE.fullmatch(text)
    if match is None or int(match[2]) < int(match[1]):
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            argument_name=_RANGE_HEADER,
            argument_value=text,
        )
    return int(match[1]), int(match[2])


def check_source_range(source_range: tuple[int, int], size: int) -> None:
    """Hold a range against the source's size; nothing is clipped.

    Raises `BadRequestError` when it starts past the end, `InvalidArgument` when it ends there.
    """
    first, last = source_range
    if first >= size:
        raise BadRequestError("The specified copy range is invalid for the source object size")
    if last >= size:
        raise InvalidArgument(
            f"Range specified is not valid for source object of size: {size}",
            argument_name=_RANGE_HEADER,
            argument_value=f"bytes={first}-{last}",
        )


def _decoded(text: str, value: str) -> str:
    # A raw plus is a space, as S3 reads it here (not in a path); a key with a plus comes as %2B.
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise _refused("Invalid copy source encoding.", value) from error


def _refused(text: str, value: str) -> InvalidArgument:
    return InvalidArgument(text, argument_name=_HEADER, argument_value=value)


def _date(text: str | None) -> int | None:
    return None if text is None else parse_http_date(text)

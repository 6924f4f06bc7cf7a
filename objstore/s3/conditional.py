"""Conditional reads: If-Match and its three relatives, on reads and on copy sources (s3 rule 4.1).

The order is that of RFC 9110 section 13.2.2: If-Match, or where it is absent If-Unmodified-Since, decides about 412;
then If-None-Match, or where it is absent If-Modified-Since, decides about 304. Existence comes before (404) and
ranges after. Conditions of writes are judged where the write commits, not here.
"""

from __future__ import annotations

from typing import Final

from objstore.model.errors import NotModified, PreconditionFailed
from objstore.model.instant import MS_PER_SECOND, Instant
from objstore.s3.dates import parse_http_date
from objstore.s3.inputs import ReadConditions

__all__ = [
    "evaluate_copy_source",
    "evaluate_read",
    "parse_etags",
    "range_applies",
    "strip_etag",
]

_ANY: Final = "*"
_COPY_SOURCE_PREFIX: Final = "x-amz-copy-source-"


def evaluate_read(
    conditions: ReadConditions, *, etag: str, last_modified: Instant, now: Instant
) -> None:
    """Judge a GET or HEAD of an object that exists.

    Raises `PreconditionFailed` (412) or `NotModified` (304), each with the `condition` that decided.
    """
    modified_s = last_modified // MS_PER_SECOND
    _require_match(conditions, etag=etag, modified_s=modified_s, prefix="")
    condition = _unmodified_by(conditions, etag=etag, modified_s=modified_s, now=now)
    if condition is not None:
        raise NotModified(condition=condition)


def evaluate_copy_source(
    conditions: ReadConditions, *, etag: str, last_modified: Instant, now: Instant
) -> None:
    """Judge the source of a copy: the same order, but every failure is `PreconditionFailed` (s3 rule 4.1.6)."""
    modified_s = last_modified // MS_PER_SECOND
    _require_match(conditions, etag=etag, modified_s=modified_s, prefix=_COPY_SOURCE_PREFIX)
    condition = _unmodified_by(conditions, etag=etag, modified_s=modified_s, now=now)
    if condition is not None:
        raise PreconditionFailed(condition=_COPY_SOURCE_PREFIX + condition)


def _require_match(conditions: ReadConditions, *, etag: str, modified_s: int, prefix: str) -> None:
    if conditions.if_match is not None:
        if not _matches(conditions.if_match, etag):
            raise PreconditionFailed(condition=f"{prefix}If-Match")
        return
    limit_s = conditions.if_unmodified_since_s
    if limit_s is not None and modified_s > limit_s:
        raise PreconditionFailed(condition=f"{prefix}If-Unmodified-Since")


def _unmodified_by(
    conditions: ReadConditions, *, etag: str, modified_s: int, now: Instant
) -> str | None:
    """Return the condition by which the reader has this state already, None if it does not."""
    if conditions.if_none_match is not None:
        return "If-None-Match" if _matches(conditions.if_none_match, etag) else None
    known_s = conditions.if_modified_since_s
    if known_s is None or known_s > now // MS_PER_SECOND:
        return None
    return "If-Modified-Since" if modified_s <= known_s else None


def range_applies(if_range: str | None, *, etag: str, last_modified: Instant) -> bool:
    """Tell whether a Range counts under this If-Range (s3 rule 4.2.3).

    A weak tag never does, and a date only when it is exactly the one of the object (RFC 9110 section 13.1.5).
    """
    if if_range is None:
        return True
    date_s = parse_http_date(if_range)
    if date_s is not None:
        return date_s == last_modified // MS_PER_SECOND
    return not if_range.startswith("W/") and strip_etag(if_range) == etag


def parse_etags(text: str | None) -> tuple[str, ...] | None:
    """Split a list of ETags, quoted or not, weak or not (s3 rule 4.1.3); None for an absent or empty header."""
    if text is None or not text.strip():
        return None
    return tuple(strip_etag(item) for item in text.split(","))


def strip_etag(text: str) -> str:
    """Return an ETag without white space, `W/` and quotes."""
    return text.strip().removeprefix("W/").strip('"')


def _matches(wanted: tuple[str, ...], etag: str) -> bool:
    return etag in wanted or _ANY in wanted

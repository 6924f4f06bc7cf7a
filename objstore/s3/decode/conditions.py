"""Conditions: of reads (s3 rule 4.1), of writes (4.5) and of deletes (4.14.2).

A condition that the store would not evaluate is never passed over: the writer relied on it. It is refused with 501,
as S3 does.
"""

from __future__ import annotations

from typing import Final

from objstore.model.errors import NotImplementedByStore
from objstore.model.names import VersionId
from objstore.model.objects import Conditions
from objstore.s3.conditional import parse_etags, strip_etag
from objstore.s3.dates import parse_http_date
from objstore.s3.decode.refusals import not_implemented
from objstore.s3.inputs import ReadConditions
from objstore.s3.request import Headers

__all__ = [
    "delete_conditions",
    "read_conditions",
    "refuse_write_conditions",
    "write_conditions",
]

_NO_READ_CONDITIONS: Final = ReadConditions()
_NO_CONDITIONS: Final = Conditions()
_CONDITION_NAMES: Final = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}
)
_SHOWN: Final = {
    "if-match": "If-Match",
    "if-none-match": "If-None-Match",
    "if-modified-since": "If-Modified-Since",
    "if-unmodified-since": "If-Unmodified-Since",
}
_DELETE_ONLY: Final = ("x-amz-if-match-last-modified-time", "x-amz-if-match-size")


def read_conditions(headers: Headers) -> ReadConditions:
    """Read the four conditions of a GET or HEAD; dates that cannot be parsed are ignored (s3 rule 4.1.4)."""
    if _CONDITION_NAMES.isdisjoint(headers):
        return _NO_READ_CONDITIONS
    return ReadConditions(
        if_match=parse_etags(headers.get("if-match")),
        if_none_match=parse_etags(headers.get("if-none-match")),
        if_modified_since_s=_date(headers.get("if-modified-since")),
        if_unmodified_since_s=_date(headers.get("if-unmodified-since")),
    )


def write_conditions(headers: Headers) -> Conditions:
    """Read `If-None-Match: *` or `If-Match: <etag>`; everything else is 501 (s3 rule 4.5.2)."""
    if _CONDITION_NAMES.isdisjoint(headers):
        return _NO_CONDITIONS
    _refuse_dates(headers)
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_match is not None and if_none_match is not None:
        raise not_implemented(
            "If-Match,If-None-Match",
            reason="Multiple conditional request headers present in the request",
        )
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise _unaccepted("If-None-Match")
        return Conditions(if_none_match=True)
    etag = strip_etag(if_match or "")
    if etag in {"", "*"} or "," in etag:
        raise _unaccepted("If-Match")
    return Conditions(if_match=etag)


def delete_conditions(headers: Headers, version_id: VersionId | None) -> Conditions:
    """Read `If-Match` of a delete, an ETag or `*`; with a version id it is 501 (s3 rule 4.14.2)."""
    for name in _DELETE_ONLY:
        if name in headers:
            raise not_implemented(name)
    if _CONDITION_NAMES.isdisjoint(headers):
        return _NO_CONDITIONS
    _refuse_dates(headers)
    if "if-none-match" in headers:
        raise not_implemented("If-None-Match")
    etag = strip_etag(headers["if-match"])
    if version_id is not None or not etag or "," in etag:
        raise not_implemented("If-Match")
    return Conditions(if_match=etag)


def refuse_write_conditions(headers: Headers) -> None:
    """Refuse conditions where no object comes about: the parts of an upload (s3 rule 4.5.1)."""
    for name, shown in _SHOWN.items():
        if name in headers:
            raise not_implemented(shown)


def _refuse_dates(headers: Headers) -> None:
    for name in ("if-modified-since", "if-unmodified-since"):
        if name in headers:
            raise not_implemented(_SHOWN[name])


def _unaccepted(shown: str) -> NotImplementedByStore:
    return not_implemented(
        shown, reason=f"We don't accept the provided value of {shown} header for this API"
    )


def _date(text: str | None) -> int | None:
    return None if text is None else parse_http_date(text)

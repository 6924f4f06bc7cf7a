"""The dates of signed requests: ISO 8601 basic, RFC 1123 and RFC 850, to the second.

It promises exact parsing: a text that is not wholly one of the forms is None, never a guess. It
does not compare with a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from objstore.model.instant import MS_PER_SECOND, Instant

__all__ = ["format_basic", "format_extended", "parse_basic", "parse_http_date"]

_BASIC: Final = re.compile(rb"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
_RFC_1123: Final = re.compile(
    rb"[A-Za-z]{3}, (\d{1,2}) ([A-Za-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) (?:GMT|UTC|[+-]0000)"
)
_RFC_850: Final = re.compile(
    rb"[A-Za-z]{6,9}, (\d\d)-([A-Za-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) (?:GMT|UTC)"
)
_MONTH_NAMES: Final = b"jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS: Final = {name: number for number, name in enumerate(_MONTH_NAMES.split(), start=1)}
_CENTURY_PIVOT: Final = 70
"""Two-digit years below it belong to the 2000s."""


@lru_cache(maxsize=512)
def parse_basic(text: bytes) -> Instant | None:
    """Return the time of `yyyymmddThhmmssZ`, or None."""
    found = _BASIC.fullmatch(text)
    if found is None:
        return None
    return _instant(*map(int, found.groups()))


def parse_http_date(text: bytes) -> Instant | None:
    """Return the time of a `Date` header in any form that s3 rule 2.2.11 accepts, or None."""
    found = _RFC_1123.fullmatch(text) or _RFC_850.fullmatch(text)
    if found is None:
        return parse_basic(text)
    day, month_name, year_text, hour, minute, second = found.groups()
    month = _MONTHS.get(month_name.lower(), 0)
    year = int(year_text)
    if len(year_text) == 2:
        year += 2000 if year < _CENTURY_PIVOT else 1900
    return _instant(year, month, int(day), int(hour), int(minute), int(second))


def format_basic(instant: Instant) -> bytes:
    """Return `yyyymmddThhmmssZ`, the form that is signed."""
    return format_extended(instant).replace("-", "").replace(":", "").encode("ascii")


def format_extended(instant: Instant) -> str:
    """Return `yyyy-mm-ddThh:mm:ssZ`, the form that error documents show."""
    # Not strftime: how it writes years before 1000 depends on the C library.
    return f"{datetime.fromtimestamp(instant // MS_PER_SECOND, tz=UTC).replace(tzinfo=None).isoformat()}Z"


def _instant(*fields: int) -> Instant | None:
    year, month, day, hour, minute, second = fields
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return Instant(int(moment.timestamp()) * MS_PER_SECOND)

"""Dates as S3 writes and reads them: in headers, and in XML.

The store keeps milliseconds, S3 shows whole seconds; both writers cut, neither rounds up, so that
a date that was read back never lies in the future of the object (s3 rules 1.7.9 and 4.4.7). The
reader takes every form that HTTP ever had, and ISO 8601; what it cannot read counts as absent.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from objstore.model.instant import MS_PER_SECOND, Instant

__all__ = ["http_date", "iso_date", "parse_http_date"]

_SECONDS_PER_DAY: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}


# --- writing -----------------------------------------------------------------


def http_date(instant: Instant) -> str:
    """Return `Sat, 31 Jan 2026 12:34:56 GMT` (RFC 1123), cut to the second."""
    return _http_date_of_second(instant // MS_PER_SECOND)


def iso_date(instant: Instant) -> str:
    """Return `2026-01-31T12:34:56.000Z`, cut to the second; the milliseconds are always zero."""
    days, second = divmod(instant // MS_PER_SECOND, _SECONDS_PER_DAY)
    minutes, second = divmod(second, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_iso_day(days)}T{hour:02}:{minute:02}:{second:02}.000Z"


@lru_cache(maxsize=1024)
def _http_date_of_second(seconds: int) -> str:
    days, second = divmod(seconds, _SECONDS_PER_DAY)
    minutes, second = divmod(second, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_http_day(days)} {hour:02}:{minute:02}:{second:02} GMT"


@lru_cache(maxsize=256)
def _http_day(days: int) -> str:
    day = _EPOCH_DAY + timedelta(days=days)
    return f"{_WEEKDAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04}"


@lru_cache(maxsize=256)
def _iso_day(days: int) -> str:
    return (_EPOCH_DAY + timedelta(days=days)).isoformat()


# --- reading -----------------------------------------------------------------

_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_GMT: Final = r"(?:GMT|UTC|[+-]0000)"
_ZONE: Final = r"(?:Z|(?P<zone>[+-]\d\d:?\d\d))"
_DATE_LENGTH_MAX: Final = 64
"""No form is longer; the cache must not keep what a client made up."""
_FORMS: Final = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        # RFC 1123: Sun, 06 Nov 1994 08:49:37 GMT
        rf"(?:[a-z]{{3}}, )?(?P<day>\d\d?) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_TIME} {_GMT}",
        # ISO 8601: 1994-11-06T08:49:37.123Z
        rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)T{_TIME}(?:\.\d{{1,9}})?{_ZONE}",
        # RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME} GMT",
        # asctime: Sun Nov  6 08:49:37 1994
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)


def parse_http_date(text: str) -> int | None:
    """Return the seconds since the epoch that a date names, None if it cannot be read.

    RFC 1123, RFC 850 and asctime forms (RFC 9110 section 5.6.7) and ISO 8601; a fraction is cut
    off.
    """
    return _parsed(text) if len(text) <= _DATE_LENGTH_MAX else None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> int | None:
    stripped = text.strip()
    for form in _FORMS:
        match = form.fullmatch(stripped)
        if match is not None:
            return _seconds_of(match)
    return None


def _seconds_of(match: re.Match[str]) -> int | None:
    fields = match.groupdict()
    month = fields["month"]
    number = int(month) if month.isdigit() else _MONTH_NUMBERS.get(month.lower(), 0)
    try:
        moment = datetime(
            _full_year(fields["year"]),
            number,
            int(fields["day"]),
            int(fields["hour"]),
            int(fields["minute"]),
            59 if fields["second"] == "60" else int(fields["second"]),  # a leap second
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1) - _zone_offset_s(fields.get("zone"))


def _full_year(text: str) -> int:
    """Years of RFC 850 have two digits; 70 to 99 are of the last century."""
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= 70 else 2000)


def _zone_offset_s(zone: str | None) -> int:
    if zone is None:
        return 0
    digits = zone[1:].replace(":", "")
    offset_s = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -offset_s if zone[0] == "-" else offset_s

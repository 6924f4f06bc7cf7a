"""Dates in headers and documents."""

from __future__ import annotations

import pytest

from objstore.model.instant import Instant
from objstore.s3.dates import http_date, iso_date, parse_http_date

MOMENT = Instant(784_111_777_999)


def test_dates_are_cut_to_the_second() -> None:
    """Rounding up would put an object into the future of its own reader (s3 rule 1.7.9)."""
    assert http_date(MOMENT) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert iso_date(MOMENT) == "1994-11-06T08:49:37.000Z"


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_102_444_799_000, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ],
)
def test_the_calendar_is_right_at_its_edges(instant: int, text: str) -> None:
    """Epoch, leap day, last second of a century."""
    assert http_date(Instant(instant)) == text
    assert parse_http_date(text) == instant // 1000


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 6 nov 1994 08:49:37 gmt",
        " Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "1994-11-06T08:49:37Z",
        "1994-11-06T08:49:37.999Z",
        "1994-11-06T10:19:37+01:30",
    ],
)
def test_every_form_that_http_had_is_read(text: str) -> None:
    """Clients send old forms, and ISO 8601 (s3 rule 4.1.4)."""
    assert parse_http_date(text) == 784_111_777


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "784111777",
        "1994-13-06T08:49:37Z",
        "1994-11-06",
        "\u0661994-11-06T08:49:37Z",
        "x" * 10_000,
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    """An unreadable date counts as absent; it must not become an error or another date."""
    assert parse_http_date(text) is None


def test_a_leap_second_is_the_second_before_it() -> None:
    """RFC 9110 allows 60; there is no such instant in Unix time."""
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == 1_483_228_799

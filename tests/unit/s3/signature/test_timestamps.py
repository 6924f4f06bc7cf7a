"""Dates of signed requests."""

import pytest

from objstore.model.instant import Instant
from objstore.s3.signature.timestamps import (
    format_basic,
    format_extended,
    parse_basic,
    parse_http_date,
)

MOMENT = Instant(784_111_777_000)


@pytest.mark.parametrize(
    "text",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 +0000",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"19941106T084937Z",
    ],
)
def test_forms_of_the_date_header(text):
    """The example date of RFC 9110 in the forms that clients sign (s3 rule 2.2.11)."""
    assert parse_http_date(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"now",
        b"Sun, 06 Foo 1994 08:49:37 GMT",
        b"Sun, 32 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 25:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 CET",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b"00000000T000000Z",
        b"19941106T084960Z",
        b"19941106T084937Z ",
        b"\xd9\xa1" * 8,
    ],
)
def test_what_is_no_date(text):
    """A guess would sign for another time."""
    assert parse_http_date(text) is None


def test_two_digit_years():
    """RFC 850 years below 70 belong to this century."""
    assert parse_http_date(b"Monday, 06-Nov-69 00:00:00 GMT") == parse_basic(b"20691106T000000Z")
    assert parse_http_date(b"Monday, 06-Nov-70 00:00:00 GMT") == parse_basic(b"19701106T000000Z")


def test_formats():
    """The signed form and the one of error documents; milliseconds are cut off."""
    assert format_basic(Instant(MOMENT + 999)) == b"19941106T084937Z"
    assert format_extended(Instant(MOMENT + 999)) == "1994-11-06T08:49:37Z"
    assert parse_basic(format_basic(MOMENT)) == MOMENT


def test_early_years_keep_their_four_digits():
    """A date of the first millennium in a credential must come back as it was signed."""
    early = parse_basic(b"00240531T101112Z")
    assert early is not None
    assert format_basic(early) == b"00240531T101112Z"
    assert format_extended(early) == "0024-05-31T10:11:12Z"

"""Conditional reads."""

import pytest

from objstore.model.errors import NotModified, PreconditionFailed
from objstore.s3.conditional import (
    evaluate_copy_source,
    evaluate_read,
    parse_etags,
    range_applies,
)
from objstore.s3.dates import http_date
from objstore.s3.inputs import ReadConditions

MODIFIED = 1_000_500
"""Half a second past second 1000."""
NOW = 2_000_000
IN_THE_FUTURE_S = 3_000

MATCH = ("other", "etag")
NO_MATCH = ("other",)


def outcome(evaluate, **conditions):
    """Return the status that follows, with the condition that decided."""
    try:
        evaluate(ReadConditions(**conditions), etag="etag", last_modified=MODIFIED, now=NOW)
    except PreconditionFailed as error:
        return 412, error.detail["condition"]
    except NotModified as error:
        return 304, error.detail["condition"]
    return 200, None


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ({}, (200, None)),
        ({"if_match": MATCH, "if_unmodified_since_s": 999}, (200, None)),
        ({"if_match": NO_MATCH}, (412, "If-Match")),
        ({"if_match": NO_MATCH, "if_none_match": MATCH}, (412, "If-Match")),
        ({"if_match": NO_MATCH, "if_modified_since_s": 1}, (412, "If-Match")),
        ({"if_none_match": NO_MATCH, "if_modified_since_s": 1000}, (200, None)),
        ({"if_none_match": MATCH, "if_modified_since_s": 1}, (304, "If-None-Match")),
        ({"if_none_match": MATCH, "if_unmodified_since_s": 999}, (412, "If-Unmodified-Since")),
        ({"if_match": MATCH, "if_none_match": MATCH}, (304, "If-None-Match")),
        ({"if_modified_since_s": 999}, (200, None)),
        ({"if_modified_since_s": 1000}, (304, "If-Modified-Since")),
        ({"if_modified_since_s": 1001}, (304, "If-Modified-Since")),
        ({"if_modified_since_s": IN_THE_FUTURE_S}, (200, None)),
        ({"if_unmodified_since_s": 999}, (412, "If-Unmodified-Since")),
        ({"if_unmodified_since_s": 1000}, (200, None)),
        ({"if_unmodified_since_s": IN_THE_FUTURE_S}, (200, None)),
        ({"if_match": ("*",)}, (200, None)),
        ({"if_none_match": ("*",)}, (304, "If-None-Match")),
    ],
)
def test_combinations(conditions, wanted):
    """The table of s3 rule 4.1.2; times count in whole seconds, cut off (4.1.3).

    A copy source fails with 412 where a read would be 304 (4.1.6).
    """
    assert outcome(evaluate_read, **conditions) == wanted
    status, condition = wanted
    copied = (200, None) if status == 200 else (412, f"x-amz-copy-source-{condition}")
    assert outcome(evaluate_copy_source, **conditions) == copied


@pytest.mark.parametrize(
    ("text", "etags"),
    [
        (None, None),
        (" ", None),
        ('"a"', ("a",)),
        ("a", ("a",)),
        ('W/"a-2" , b,"c"', ("a-2", "b", "c")),
        ("*", ("*",)),
    ],
)
def test_etags_come_in_every_dress(text, etags):
    """Quotes and weakness do not matter to S3 (s3 rule 4.1.3)."""
    assert parse_etags(text) == etags


def test_a_range_counts_only_for_the_object_it_was_meant_for():
    """A resumed download must not glue two objects together (s3 rule 4.2.3)."""

    def applies(text):
        return range_applies(text, etag="etag", last_modified=MODIFIED)

    assert applies(None)
    assert applies('"etag"')
    assert applies(http_date(MODIFIED))
    for text in ('"other"', 'W/"etag"', http_date(MODIFIED + 1000), http_date(MODIFIED - 1000)):
        assert not applies(text)

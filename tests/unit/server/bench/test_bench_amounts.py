"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest

from objstore.server.bench.amounts import parse_duration, parse_list, parse_size, render_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("4KiB", 4096),
        ("4k", 4096),
        ("4 kb", 4000),
        ("1.5MiB", 1_572_864),
        ("64MB", 64_000_000),
        ("1g", 1 << 30),
    ],
)
def test_sizes(text, size) -> None:
    """A megabyte mistaken for a mebibyte moves every figure by five percent."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "4 parsecs", "-1", "1e6", "4KiB,1MiB", "1.MB"])
def test_what_is_no_size_is_refused(text) -> None:
    """A typing error must not become another measurement."""
    with pytest.raises(ValueError, match="size|number"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("5", 5), ("500ms", 0.5), ("2m", 120), ("1h", 3600)]
)
def test_durations(text, seconds) -> None:
    """`m` is minutes here and mebibytes there."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5 KiB", "soon"])
def test_what_is_no_duration_is_refused(text) -> None:
    """The same for durations."""
    with pytest.raises(ValueError, match="duration|number"):
        parse_duration(text)


def test_lists_keep_their_order_and_name_nothing_twice() -> None:
    """Each row of the report stands once."""
    assert parse_list("1MiB, 4KiB,1024KiB,", parse_size) == (1 << 20, 4096)
    with pytest.raises(ValueError, match="empty"):
        parse_list(" , ", parse_size)


@pytest.mark.parametrize(
    "text", ["0B", "1000B", "1KiB", "1025B", "1MiB", "64MiB", "1GiB", "3072KiB"]
)
def test_sizes_are_shown_so_that_they_read_back(text) -> None:
    """What stands in a report can be typed into the next run."""
    size = parse_size(text)
    assert parse_size(render_size(size)) == size

"""What a person reads at the end."""

from __future__ import annotations

import msgspec

from objstore.server.bench.figures import Figures
from objstore.server.bench.report import error_lines, progress_line, table

PUT = Figures("put", 4096, 16, 1, 30_000, 5.0, 12_345.6, 50.56, 1.2, 2.3, 9.99, 123.4, 0, {}, 0)


def row(**changes) -> Figures:
    return msgspec.structs.replace(PUT, **changes)


def test_table_aligns_its_columns() -> None:
    """Figures below each other are compared by eye."""
    text = table([PUT, row(concurrency=1, requests_per_s=987.6), row(case="head", mb_per_s=0.0)])
    assert text.splitlines() == [
        "case  size  clients  requests/s  MB/s  p50 ms  p90 ms  p99 ms  max ms  errors",
        "────  ────  ───────  ──────────  ────  ──────  ──────  ──────  ──────  ──────",
        "put   4KiB       16      12,346  50.6    1.20    2.30    9.99     123       0",
        "put   4KiB        1         988  50.6    1.20    2.30    9.99     123       0",
        "────  ────  ───────  ──────────  ────  ──────  ──────  ──────  ──────  ──────",
        "head             16      12,346          1.20    2.30    9.99     123       0",
    ]


def test_errors_are_named_most_frequent_first() -> None:
    """A count of errors alone does not tell what to do."""
    rows = [row(error_kinds={"503 SlowDown": 2}), row(error_kinds={"503 SlowDown": 1, "lost": 1})]
    assert error_lines(rows) == ["       3 x put: 503 SlowDown", "       1 x put: lost"]
    assert error_lines([PUT]) == []


def test_progress_shows_time_rate_and_faults() -> None:
    """Whoever watches sees at once that it runs, how fast, and that something fails."""
    line = progress_line("put 4KiB, 16 clients", elapsed_s=2.5, duration_s=5, done=5_000, errors=3)
    assert line == "put 4KiB, 16 clients         ██████████░░░░░░░░░░  2.5/5 s  2,000/s  3 errors"


def test_progress_ends_full_and_never_overflows() -> None:
    """Operations under way at the end take it beyond its time."""
    line = progress_line("x", elapsed_s=9.0, duration_s=5, done=None, errors=0)
    assert "█" * 20 in line
    assert "█" * 21 not in line
    assert "/s" not in line.partition(" s")[2]

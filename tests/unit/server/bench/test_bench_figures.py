"""Percentiles and rates, against the plain definition."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.server.bench.figures import figures_of, percentile
from objstore.server.bench.load import LoadResult


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=200).map(sorted),
    st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 100.0]),
)
def test_percentile_is_the_smallest_value_that_covers_the_share(values, percent) -> None:
    """Nearest rank: a value that was measured, never one made up between two."""
    found = percentile(values, percent)
    covering = [v for v in values if sum(w <= v for w in values) * 100 >= percent * len(values)]
    assert found == covering[0]


def test_percentile_of_nothing_is_nothing() -> None:
    """A case in which everything failed still has its row."""
    assert percentile([], 99) == 0.0


def result(*latencies_s: float, moved: int = 0, seconds: float = 2.0, **errors: int) -> LoadResult:
    return LoadResult(array("d", latencies_s), moved, seconds, Counter(errors))


def test_figures_count_only_what_succeeded() -> None:
    """A server that refuses quickly is not a fast server."""
    found = figures_of(
        result(0.004, 0.001, 0.002, moved=3_000_000, SlowDown=5),
        case="put",
        size_bytes=1_000_000,
        concurrency=16,
        processes=1,
    )
    assert (found.requests, found.requests_per_s, found.mb_per_s) == (3, 1.5, 1.5)
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (2.0, 4.0, 4.0)
    assert (found.errors, found.error_kinds) == (5, {"SlowDown": 5})


def test_a_run_without_time_or_success_divides_by_nothing() -> None:
    """The report of a dead server is a report."""
    found = figures_of(result(seconds=0.0), case="get", size_bytes=1, concurrency=1, processes=1)
    assert (found.requests_per_s, found.mb_per_s, found.max_ms) == (0.0, 0.0, 0.0)


def test_processes_add_up() -> None:
    """Rates of several processes are those of all their operations over the longest of their times."""
    whole = result(0.001, moved=10, seconds=1.0, Lost=1)
    whole.add(result(0.003, moved=20, seconds=2.0, Lost=2))
    assert list(whole.latencies_s) == [0.001, 0.003]
    assert (whole.moved_bytes, whole.elapsed_s, whole.errors["Lost"]) == (30, 2.0, 3)


def test_the_line_names_the_size_as_a_person_does() -> None:
    """Lines of two runs are matched by it."""
    line = figures_of(
        result(0.1), case="get", size_bytes=4096, concurrency=1, processes=1
    ).as_line()
    assert line["size"] == "4KiB"
    assert line["p50_ms"] == pytest.approx(100)

"""Counting values by upper bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from objstore.model.histogram import Histogram


@given(st.lists(st.floats(0, 20), max_size=50))
def test_a_histogram_counts_like_a_dumb_twin(values) -> None:
    """A value on a bound belongs below it, as Prometheus defines `le`."""
    histogram = Histogram((0.5, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in (0.5, 1.0, 10.0)]
    assert [count for _, count in histogram.cumulative()] == [*expected, len(values)]


def test_counts_of_two_processes_add_up() -> None:
    """What a worker counted is the same as if the owner had counted it."""
    one, other, both = (Histogram((1.0, 2.0)) for _ in range(3))
    for histogram in (one, both):
        histogram.observe(0.5)
    for histogram in (other, both):
        histogram.observe(5.0)
    one.add(other.frozen())
    assert one.frozen() == both.frozen()

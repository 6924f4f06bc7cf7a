"""What a leader believes about a follower."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.consensus.progress import Progress, ProgressState
from objstore.model.instant import Instant


def test_a_probe_sends_one_and_waits():
    """As long as the place is unknown, more would be wasted."""
    progress = Progress(next_index=5)
    assert progress.room(100) == 1
    progress.sent(5)
    assert (progress.room(100), progress.next) == (0, 5)
    progress.silent()
    assert progress.room(100) == 1


def test_an_accepted_probe_opens_the_window():
    """The logs agree: send on without waiting."""
    progress = Progress(next_index=5)
    progress.sent(5)
    assert progress.accepted(5)
    assert not progress.accepted(5)
    assert (progress.state, progress.next, progress.room(10)) == (ProgressState.REPLICATE, 6, 10)
    progress.sent(9)
    assert (progress.next, progress.room(10)) == (10, 6)
    progress.silent()
    assert (progress.state, progress.next) == (ProgressState.PROBE, 6)


def test_a_snapshot_on_its_way_is_waited_for():
    """Answers to older messages must not start entries that cannot be appended yet."""
    progress = Progress(next_index=5)
    progress.needs_snapshot(index=40, deadline=Instant(9))
    progress.refused(probe_next=2)
    progress.silent()
    assert progress.accepted(3)
    assert (progress.state, progress.room(10)) == (ProgressState.SNAPSHOT, 0)
    assert progress.accepted(41)
    assert (progress.state, progress.next) == (ProgressState.REPLICATE, 42)


def test_a_snapshot_that_is_over_is_followed_by_a_probe():
    """Whether it arrived is what the probe finds out."""
    progress = Progress(next_index=5)
    progress.accepted(3)
    progress.needs_snapshot(index=40, deadline=Instant(9))
    progress.snapshot_over()
    assert (progress.state, progress.next, progress.room(10)) == (ProgressState.PROBE, 4, 1)


steps = st.one_of(
    st.tuples(st.just("accepted"), st.integers(0, 20)),
    st.tuples(st.just("refused"), st.integers(1, 20)),
    st.tuples(st.just("silent"), st.just(0)),
    st.tuples(st.just("sent"), st.integers(0, 3)),
    st.tuples(st.just("snapshot_over"), st.just(0)),
)


@given(st.lists(steps, max_size=30))
@settings(max_examples=200, deadline=None)
def test_match_never_falls_and_stays_below_next(history):
    """What is durable at a follower stays known, in whatever order answers arrive."""
    progress = Progress(next_index=10)
    for name, value in history:
        before = progress.match
        if name == "refused":
            progress.refused(probe_next=value)
        elif name == "sent":
            progress.sent(progress.next - 1 + value)
        elif name == "accepted":
            progress.accepted(value)
        else:
            getattr(progress, name)()
        assert progress.match >= before
        assert progress.match < progress.next

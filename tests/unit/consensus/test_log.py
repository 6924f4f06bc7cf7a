"""The run of entries, against a dumb list."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.consensus import Entry, Membership, Snapshot
from objstore.consensus.log import ReplicaLog
from objstore.model.errors import InvariantError


def entries(*epochs, first=1):
    return [Entry(epoch, i, b"xy") for i, epoch in enumerate(epochs, first)]


def log_of(*epochs, compacted=(0, 0)):
    return ReplicaLog(
        compacted_index=compacted[0],
        compacted_epoch=compacted[1],
        entries=entries(*epochs, first=compacted[0] + 1),
    )


def test_an_empty_log_ends_at_its_compaction_point():
    """Where nothing is held, the last entry is the last one that was."""
    log = log_of(compacted=(7, 3))
    assert (log.last_index, log.last_epoch) == (7, 3)
    assert [log.epoch_at(index) for index in (6, 7, 8)] == [None, 3, None]


def test_gaps_are_bugs():
    """Rule 4: an index names one place; a gap would shift all that follow."""
    with pytest.raises(InvariantError, match="contiguous"):
        log_of(1).append(entries(1, first=3))


def test_what_was_loaded_is_not_handed_out_again():
    """It came from the disk."""
    log = log_of(1, 1)
    assert not log.has_unhanded
    log.append(entries(2, first=3))
    assert log.has_unhanded
    assert log.hand_out() == (0, entries(2, first=3))
    assert log.hand_out() == (0, [])


def test_a_truncation_is_told_once_with_its_lowest_index():
    """Rows from there on are still on the disk and must go before new ones are written."""
    log = log_of(1, 1, 1)
    log.truncate_from(3)
    log.append(entries(2, first=3))
    log.truncate_from(2)
    assert log.has_unhanded
    assert log.hand_out() == (2, [])
    assert not log.has_unhanded


def test_truncating_what_was_never_handed_out_needs_no_word():
    """It is on no disk."""
    log = log_of(1)
    log.append(entries(2, 2, first=2))
    log.truncate_from(3)
    assert log.hand_out() == (0, entries(2, first=2))


def test_compacted_entries_cannot_come_back():
    """They are committed; asking for them is a bug that would read a hole."""
    log = log_of(1, 1, 2)
    log.compact_to(2)
    log.compact_to(2)
    assert (log.compacted_index, log.size_bytes) == (2, 2)
    with pytest.raises(InvariantError, match="compacted"):
        log.between(1, 3)
    with pytest.raises(InvariantError, match="beyond the end"):
        log.between(2, 4)
    with pytest.raises(InvariantError, match="cannot be truncated"):
        log.truncate_from(2)
    with pytest.raises(InvariantError, match="not in the log"):
        log.compact_to(1)


def test_entries_are_compacted_only_after_they_were_handed_out():
    """Compacting first would lose them: they are on no disk."""
    log = log_of(1)
    log.append(entries(2, first=2))
    with pytest.raises(InvariantError, match="handed out"):
        log.compact_to(2)


def test_a_snapshot_begins_the_log_anew():
    """Nothing that was held or about to be written survives it."""
    log = log_of(1, 1)
    log.append(entries(1, first=3))
    log.restore(Snapshot(9, 4, Membership()))
    assert (log.last_index, log.last_epoch, log.size_bytes) == (9, 4, 0)
    assert not log.has_unhanded


def test_conflicts_below_what_is_held_are_not_found():
    """Then only a snapshot helps; a made-up place would be probed for ever."""
    log = log_of(5, 5, compacted=(3, 4))
    assert log.find_conflict(index=9, epoch=4) == (3, 4)
    assert log.find_conflict(index=9, epoch=3) is None
    assert log.find_conflict(index=2, epoch=9) is None


epochs_lists = st.lists(st.integers(1, 4), max_size=12).map(sorted)


@given(epochs_lists, st.integers(0, 14), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_find_conflict_agrees_with_looking_at_every_entry(epochs, index, epoch):
    """Rule 4: the hint is the last entry that a log with such an end could share."""
    fitting = [(i, e) for i, e in enumerate([0, *epochs]) if i <= index and e <= epoch]
    assert log_of(*epochs).find_conflict(index=index, epoch=epoch) == fitting[-1]


@given(
    st.lists(st.integers(0, 30), max_size=12),
    st.integers(0, 12),
    st.integers(0, 8),
    st.integers(0, 90),
)
@settings(max_examples=200, deadline=None)
def test_retention_keeps_as_much_as_the_bounds_allow(sizes, applied, entries_max, bytes_max):
    """Memory is bounded, and not emptier than it needs to be."""
    applied = min(applied, len(sizes))
    log = ReplicaLog(
        compacted_index=0,
        compacted_epoch=0,
        entries=[Entry(1, i, b"x" * size) for i, size in enumerate(sizes, 1)],
    )
    point = log.retention_point(upto=applied, entries_max=entries_max, bytes_max=bytes_max)
    fitting = [
        p
        for p in range(applied + 1)
        if applied - p <= entries_max and (sum(sizes[p:]) <= bytes_max or p == applied)
    ]
    assert point == fitting[0]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(0, 5), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_batches_are_bounded_and_only_empty_where_nothing_may_go(sizes, entries_max, bytes_max):
    """A message has two bounds, and a single larger entry still travels, unless the window has no room at all."""
    log = ReplicaLog(
        compacted_index=0,
        compacted_epoch=0,
        entries=[Entry(1, i, b"x" * size) for i, size in enumerate(sizes, 1)],
    )
    batch = log.batch_after(0, entries_max=entries_max, bytes_max=bytes_max)
    fitting = [
        n for n in range(1, len(sizes) + 1) if n <= entries_max and sum(sizes[:n]) <= bytes_max
    ]
    assert len(batch) == max(fitting, default=min(1, entries_max))

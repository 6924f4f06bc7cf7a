"""When operations of a drive count as hanging."""

from __future__ import annotations

from objstore.storage.flow import Flow


def test_nothing_under_way_is_no_stall():
    """An idle drive must never be taken for one that hangs."""
    flow = Flow()
    assert flow.stalled_s(100.0) == 0.0
    flow.begin(100.0)
    flow.end(101.0)
    assert flow.stalled_s(200.0) == 0.0


def test_a_stall_begins_with_the_first_operation():
    """Time in which nobody asked must not count against the drive."""
    flow = Flow()
    flow.begin(100.0)
    flow.begin(102.0)
    assert flow.stalled_s(103.0) == 3.0


def test_whatever_ends_shows_that_the_drive_works():
    """A drive with a long queue answers everybody late, but it answers: it is slow and does not hang."""
    flow = Flow()
    for number in range(5):
        flow.begin(100.0 + number)
    flow.end(109.0)
    assert flow.stalled_s(109.5) == 0.5
    assert flow.pending == 4

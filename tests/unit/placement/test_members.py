"""Members in canonical order, and every reason why a list of them forms no ring."""

import pytest

from objstore.model.errors import InvalidArgument
from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement.members import (
    MEMBERS_MAX,
    Member,
    active_members,
    member_problems,
    sort_members,
)


def member(drive: str, node: str = "n", zone: str = "z", weight: int = 1) -> Member:
    return Member(DriveId(drive), NodeId(node), Zone(zone), weight)


def test_order_does_not_depend_on_the_caller():
    """Two nodes that list drives in different order must compute the same ring."""
    drives = [member("b"), member("a"), member("c")]
    assert sort_members(drives) == sort_members(reversed(drives))
    assert [m.drive for m in sort_members(drives)] == ["a", "b", "c"]


def test_all_faults_are_told_at_once():
    """An operator who mends one fault at a time tries once for each fault."""
    drives = [member("a", weight=0), member("a"), member("b", node="m"), member("c", "m", "y")]
    with pytest.raises(InvalidArgument) as caught:
        sort_members(drives)
    text = str(caught.value)
    assert "weight 0" in text
    assert "drive a appears twice" in text
    assert "node m stands in two zones" in text


def test_order_and_number_are_checked():
    """A decoded ring may hold any list; its indices only mean something in canonical order."""
    assert member_problems((member("b"), member("a"))) == ["drive a is out of order"]
    many = tuple(member(f"{at:06}") for at in range(MEMBERS_MAX + 1))
    assert member_problems(many) == [f"a ring has at most {MEMBERS_MAX} drives, not {len(many)}"]


def test_draining_members_are_not_active():
    """A draining drive is given nothing but keeps its index."""
    draining = Member(DriveId("a"), NodeId("n"), Zone("z"), 1, is_draining=True)
    assert active_members((draining, member("b"))) == (1,)

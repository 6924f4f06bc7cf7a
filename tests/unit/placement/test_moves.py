"""The mechanics of moving slots; how few are moved is compared with a twin among the properties."""

import pytest

from objstore.model.errors import InvariantError
from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement import moves
from objstore.placement.members import Member
from objstore.placement.shares import Domains, Shares, find_domains, find_shares


def setting(count: int, *, partitions_count: int, width: int) -> tuple[Domains, Shares]:
    members = [Member(DriveId(f"d{at}"), NodeId(f"n{at}"), Zone("z")) for at in range(count)]
    domains = find_domains(members, width=width)
    return domains, find_shares(members, domains, partitions_count=partitions_count, width=width)


def test_kept_drives_stay_in_their_slots():
    """Slot i holds shard i of coded data: a drive that changed slot would hold the wrong shard."""
    domains, shares = setting(4, partitions_count=2, width=3)
    rows = moves.next_rows([(None, 1, 0), (2, None, 0)], domains, shares)
    assert [row[2] for row in rows] == [0, 0]
    assert rows[0][1] == 1
    assert rows[1][0] == 2


def test_a_path_is_taken_whole_or_not_at_all():
    """Half a path would leave a drive above its share, and the next search would start from
    there.
    """
    domains, shares = setting(4, partitions_count=2, width=2)
    table = moves._Table([(0, 1), (0, 1)], domains, shares.high)
    before = [list(row) for row in table.rows]
    clash = moves._apply(table, [(0, 0, 2), (0, 1, 2)])
    assert clash == (0, 1, 2)
    assert table.rows == before
    assert table.loads == {0: 2, 1: 2, 2: 0, 3: 0, 4: 0}


def test_a_clash_leads_to_another_path(monkeypatch):
    """A search may hand out a path whose steps exclude each other; it is banned, not obeyed."""
    domains, shares = setting(3, partitions_count=1, width=1)
    table = moves._Table([(0,)], domains, shares.high)
    real, offered = moves._apply, []

    def refuse_the_first(table, path):
        offered.append(path)
        return path[0] if len(offered) == 1 else real(table, path)

    monkeypatch.setattr(moves, "_apply", refuse_the_first)
    assert moves._follow_path(table, {0: 1}, {1: 1, 2: 1}, 1) == 1
    assert offered == [[(0, 0, 1)], [(0, 0, 2)]]
    assert table.rows == [[2]]


def test_no_way_to_balance_is_our_bug():
    """Shares within the caps always admit a table; anything else must not be published."""
    domains, shares = setting(2, partitions_count=1, width=2)
    table = moves._Table([(0, 1)], domains, shares.high)
    with pytest.raises(InvariantError, match="no path"):
        moves._follow_path(table, {0: 1}, {1: 1}, 1)

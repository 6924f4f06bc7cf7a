"""The first table: exact loads, mixed company, leaders in turn."""

from objstore.model.names import DriveId, NodeId, Zone
from objstore.placement.members import Member
from objstore.placement.sample import first_rows
from objstore.placement.shares import find_domains, find_shares


def rows_for(count: int, *, partitions_count: int, width: int) -> list[list[int]]:
    members = [Member(DriveId(f"d{at:02}"), NodeId(f"n{at}"), Zone("z")) for at in range(count)]
    domains = find_domains(members, width=width)
    sizes = {"partitions_count": partitions_count, "width": width}
    return first_rows(members, domains, find_shares(members, domains, **sizes), **sizes)


def test_one_drive_holds_everything():
    """A laptop with one directory is a ring too."""
    assert rows_for(1, partitions_count=4, width=1) == [[0]] * 4


def test_every_drive_has_many_partners():
    """When a drive dies, the drives that share partitions with it rebuild it: all of them
    should.
    """
    rows = rows_for(20, partitions_count=4096, width=3)
    for drive in range(20):
        shared = [0] * 20
        for row in rows:
            if drive in row:
                for other in row:
                    shared[other] += other != drive
        shared.pop(drive)
        assert min(shared) > 30, "about 65 each are expected"


def test_the_first_slot_goes_round():
    """Leaders are named after the first slot; none may lead much more than its part."""
    for count in (3, 5, 12):
        leads = [0] * count
        for row in rows_for(count, partitions_count=256, width=3):
            leads[row[0]] += 1
        assert max(leads) - min(leads) <= 2

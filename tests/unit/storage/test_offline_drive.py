"""A drive that cannot be reached says so to everything that is asked of it."""

from __future__ import annotations

import inspect

import anyio
import pytest

from objstore.model.errors import DriveUnavailable
from objstore.model.names import DriveId
from objstore.storage.drive import Drive
from objstore.storage.offline_drive import OfflineDrive

ARGUMENTS = {
    "write": ([],),
    "stat": (None,),
    "verify": (None,),
    "delete": ([],),
    "purge_trash": (0,),
    "list_names": (0,),
}
OPERATIONS = sorted(
    name
    for name, _ in inspect.getmembers(Drive, inspect.iscoroutinefunction)
    if not name.startswith("_")
)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_the_port_refuses_with_the_cause(operation):
    """The store then takes the other drives, and an operator reads why; nothing is formatted or healed onto it."""
    drive = OfflineDrive(DriveId("d7"), "directory lost its identity")
    named = {"start": 0, "length": 1} if operation == "read" else {}
    positional = (None,) if operation == "read" else ARGUMENTS.get(operation, ())

    async def story():
        await getattr(drive, operation)(*positional, **named)

    with pytest.raises(DriveUnavailable, match="lost its identity") as caught:
        anyio.run(story)
    assert caught.value.detail["drive"] == "d7"


def test_has_nothing_at_hand():
    """Then `read` is asked, which says why."""
    drive = OfflineDrive(DriveId("d7"), "away")
    assert drive.read_cached(None, start=0, length=1) is None


def test_keeps_its_id():
    """Rings and extents name the drive; offline, it must not look like another one."""
    assert OfflineDrive(DriveId("d7"), "away").drive_id == "d7"

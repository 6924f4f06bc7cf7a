"""When a block is durable, decided without a drive in sight."""

from __future__ import annotations

import pytest

from objstore.model.errors import (
    DriveUnavailable,
    InvariantError,
    QuorumNotReached,
    StorageFull,
)
from objstore.model.names import DriveId
from objstore.model.objects import Misplaced, Scheme
from objstore.replication.write import BlockWrite, Send


def drives(text):
    return [DriveId(name) for name in text]


GONE = DriveUnavailable("gone")
FULL = StorageFull("full")


def test_all_homes_take_their_shard():
    """The usual case leaves nothing to record."""
    core = BlockWrite(Scheme(1, 2), drives("abc"), drives("de"))
    sends = core.start()
    assert [send.drive for send in sends] == ["a", "b", "c"]
    for send in sends:
        core.on_stored(send)
    assert core.is_durable
    assert core.is_settled
    assert core.misplaced(0) == ()
    assert core.strays() == ()


@pytest.mark.parametrize(
    ("scheme", "needed"),
    [(Scheme(1, 0), 1), (Scheme(1, 1), 2), (Scheme(1, 2), 2), (Scheme(4, 2), 5), (Scheme(8, 3), 9)],
    ids=str,
)
def test_quorum_is_k_plus_one_or_a_majority(scheme, needed):
    """One loss before repair must not lose data; two copies where there are two domains."""
    core = BlockWrite(scheme, drives("abcdefghijk"[: scheme.width]), [])
    for number, send in enumerate(core.start(), start=1):
        core.on_stored(send)
        assert core.is_durable == (number >= needed)


def test_failed_home_is_replaced_by_a_spare():
    """And the extent says where the shard went."""
    core = BlockWrite(Scheme(1, 2), drives("abc"), drives("de"))
    first, second, third = core.start()
    core.on_stored(first)
    (again,) = core.on_failed(second, GONE)
    assert again == Send(1, DriveId("d"))
    core.on_stored(again)
    core.on_stored(third)
    assert core.misplaced(4) == (Misplaced(4, 1, DriveId("d")),)


def test_spare_that_fails_is_replaced_too():
    """Until there are none."""
    core = BlockWrite(Scheme(1, 1), drives("ab"), drives("cd"))
    first, second = core.start()
    core.on_stored(first)
    (send,) = core.on_failed(second, GONE)
    (send,) = core.on_failed(send, GONE)
    assert send.drive == "d"
    assert not core.is_lost
    assert core.on_failed(send, GONE) == ()
    assert core.is_lost


def test_without_spare_the_shard_is_missing():
    """Durable with a shard less: the repair queue learns it from the same record."""
    core = BlockWrite(Scheme(1, 2), drives("abc"), [])
    first, second, third = core.start()
    core.on_stored(first)
    core.on_stored(third)
    assert core.on_failed(second, GONE) == ()
    assert core.is_durable
    assert core.misplaced(0) == (Misplaced(0, 1, None),)


def test_quorum_is_never_lowered():
    """4+2 with two drives gone and no spare is refused, though it could be read."""
    core = BlockWrite(Scheme(4, 2), drives("abcdef"), [])
    sends = core.start()
    for send in sends[:4]:
        core.on_stored(send)
    for send in sends[4:]:
        assert not core.is_lost
        core.on_failed(send, GONE)
    assert core.is_lost
    assert not core.is_durable
    assert isinstance(core.failure(), QuorumNotReached)
    assert core.stored() == tuple(sends[:4])


def test_slow_drive_is_doubled_while_not_durable():
    """A drive that hangs must not hang the write when a spare could take over."""
    core = BlockWrite(Scheme(1, 1), drives("ab"), drives("c"))
    first, second = core.start()
    core.on_stored(first)
    (doubled,) = core.on_slow()
    assert doubled == Send(1, DriveId("c"))
    core.on_stored(doubled)
    assert core.is_durable
    assert core.misplaced(0) == (Misplaced(0, 1, DriveId("c")),)
    # The slow home comes in after all: it is the better place, the spare's copy is a stray.
    core.on_stored(second)
    assert core.misplaced(0) == ()
    assert core.strays() == (doubled,)


def test_durable_block_is_not_doubled():
    """Then the missing shard is work for the repair queue, not for the client's wait."""
    core = BlockWrite(Scheme(1, 2), drives("abc"), drives("d"))
    first, second, _ = core.start()
    core.on_stored(first)
    core.on_stored(second)
    assert core.on_slow() == ()


def test_failed_home_after_its_double_needs_no_spare():
    """One shard is sent to one more drive at a time."""
    core = BlockWrite(Scheme(1, 1), drives("ab"), drives("cd"))
    first, second = core.start()
    core.on_stored(first)
    core.on_slow()
    assert core.on_failed(second, GONE) == ()


def test_ring_with_too_few_homes_uses_spares():
    """A scheme chosen for a bucket may be wider than the ring."""
    core = BlockWrite(Scheme(1, 2), drives("a"), drives("bc"))
    assert [send.drive for send in core.start()] == ["a", "b", "c"]
    core = BlockWrite(Scheme(1, 2), drives("a"), drives("b"))
    for send in core.start():
        core.on_stored(send)
    assert core.is_durable
    assert core.misplaced(0) == (Misplaced(0, 1, DriveId("b")), Misplaced(0, 2, None))


def test_cause_is_told_where_it_is_one():
    """A full store answers that it is full; a single drive's own error is passed on."""
    core = BlockWrite(Scheme(1, 1), drives("ab"), [])
    for send in core.start():
        core.on_failed(send, FULL)
    assert core.failure() is FULL
    core = BlockWrite(Scheme(1, 0), drives("a"), [])
    core.on_failed(core.start()[0], GONE)
    assert core.failure() is GONE
    core = BlockWrite(Scheme(1, 1), drives("ab"), [])
    first, second = core.start()
    core.on_failed(first, FULL)
    core.on_failed(second, GONE)
    assert isinstance(core.failure(), QuorumNotReached)


def test_a_drive_holds_one_shard_of_a_block():
    """Two shards on one drive would be lost together."""
    with pytest.raises(InvariantError):
        BlockWrite(Scheme(1, 1), drives("aa"), [])
    with pytest.raises(InvariantError):
        BlockWrite(Scheme(1, 1), drives("ab"), drives("b"))

"""Naming leaders: every epoch is handed out once, whoever asks and however often."""

from __future__ import annotations

import asyncio
import random

import pytest

from objstore.cluster.control_store import Item
from objstore.cluster.epochs import (
    NOBODY,
    Naming,
    decode_naming,
    encode_naming,
    leader_key,
    name_leader,
    read_naming,
)
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.model.errors import CorruptRecord, Unavailable

RING = "metadata"
SAMPLE = bytes.fromhex("019114135e845a74a19207a26e31")
"""Epoch 7, leader "n1", as format version 1 wrote it."""


@pytest.fixture
def run(tmp_path):
    """Run a scenario on a fresh store."""

    def run_scenario(scenario):
        async def inside():
            async with SqliteControlStore.open(tmp_path / "control.sqlite") as store:
                return await scenario(store)

        return asyncio.run(inside())

    return run_scenario


def test_epochs_count_from_one(run):
    """Epoch 0 stands for "nobody yet" in the log; the first leader has epoch 1."""

    async def scenario(store):
        assert await read_naming(store, RING, 3) == NOBODY
        first = await name_leader(store, RING, 3, "a", seen=NOBODY)
        assert (first.epoch, first.leader) == (1, "a")
        assert await read_naming(store, RING, 3) == first
        second = await name_leader(store, RING, 3, "b", seen=first)
        assert (second.epoch, second.leader) == (2, "b")
        assert await read_naming(store, RING, 4) == NOBODY

    run(scenario)


def test_a_naming_on_old_knowledge_changes_nothing(run):
    """Two nodes that both saw the leader die: one of them names its successor (reliability 7.3, rule 1)."""

    async def scenario(store):
        first = await name_leader(store, RING, 0, "a", seen=NOBODY)
        second = await name_leader(store, RING, 0, "b", seen=first)
        assert await name_leader(store, RING, 0, "c", seen=first) is None
        assert await name_leader(store, RING, 0, "c", seen=NOBODY) is None
        assert await read_naming(store, RING, 0) == second

    run(scenario)


def test_an_epoch_is_never_handed_out_twice(run):
    """Two leaders of one epoch could both commit: the one thing that the control store must get right."""
    handed_out = []

    async def contend(store, name, chance):
        for _ in range(25):
            seen = await read_naming(store, RING, 0)
            await asyncio.sleep(chance.random() / 1_000)
            naming = await name_leader(store, RING, 0, name, seen=seen)
            if naming is not None:
                handed_out.append(naming.epoch)

    async def scenario(store):
        chances = {name: random.Random(name) for name in "abcd"}
        await asyncio.gather(*(contend(store, name, chances[name]) for name in chances))
        return await read_naming(store, RING, 0)

    last = run(scenario)
    assert handed_out == list(range(1, last.epoch + 1))


def test_a_lost_answer_is_found_by_reading_again(run):
    """The naming was made, its answer lost: who reads finds itself named, and takes that epoch and no other (T7)."""

    async def scenario(store):
        class LosesAnswers:
            async def put(self, *arguments, **options):
                await store.put(*arguments, **options)
                raise Unavailable

        with pytest.raises(Unavailable):
            await name_leader(LosesAnswers(), RING, 0, "a", seen=NOBODY)
        found = await read_naming(store, RING, 0)
        assert (found.epoch, found.leader) == (1, "a")

    run(scenario)


def test_keys_sort_by_partition():
    """A listing shows partitions in their order."""
    keys = [leader_key(RING, partition) for partition in range(4096)]
    assert keys == sorted(keys)


def test_the_first_format_is_still_read():
    """A naming outlives upgrades; read wrongly, it would hand out an epoch twice."""
    assert encode_naming(7, "n1") == SAMPLE
    assert decode_naming(Item("k", SAMPLE, 9)) == Naming(7, "n1", 9)


def test_a_damaged_naming_is_an_error():
    """Taken for "nobody yet", it would begin again with epoch 1."""
    for index in range(len(SAMPLE)):
        damaged = bytearray(SAMPLE)
        damaged[index] ^= 1
        with pytest.raises(CorruptRecord):
            decode_naming(Item("k", bytes(damaged), 9))

"""The parts of the simulation by themselves: what they get wrong would make every schedule worth less."""

from __future__ import annotations

import gc
from random import Random

import pytest
from click.testing import CliRunner

from objstore.consensus import Entry, Epoch, HardState, Ready, ReplicaId
from objstore.consensus.messages import PromiseRequest
from objstore.model.errors import CorruptRecord
from objstore.testing.sim import command
from objstore.testing.sim.campaign import run_schedules
from objstore.testing.sim.command import main
from objstore.testing.sim.disk import Applied, Disk
from objstore.testing.sim.loop import EventLoop
from objstore.testing.sim.machine import Command, CommandKind, KeyValueMachine
from objstore.testing.sim.network import Network, NetworkWeather

A, B = ReplicaId("a"), ReplicaId("b")


def test_events_happen_in_order_of_time_and_ties_by_seed():
    """Nothing may work by luck of the queue, and everything must happen again the same way."""

    def order(seed):
        loop, seen = EventLoop(Random(seed)), []
        for number in range(8):
            loop.at(5, seen.append, number)
        loop.at(4, seen.append, "first")
        loop.run(5)
        assert loop.is_idle
        return seen

    assert order(1) == order(1)
    assert order(1)[0] == "first"
    assert order(1) != order(2)


def test_a_cut_is_one_way_and_ends():
    """Half-open links are what time-outs do not show."""
    loop, arrived = EventLoop(Random(1)), []
    network = Network(loop, Random(1), NetworkWeather())
    network.attach(A, arrived.append)
    network.attach(B, arrived.append)
    network.cuts[A, B] = 10
    there, back = PromiseRequest(A, B, Epoch(1)), PromiseRequest(B, A, Epoch(1))
    network.send([there, back])
    loop.run(9)
    assert arrived == [back]
    loop.run(10)
    network.send([there])
    loop.run(100)
    assert arrived == [back, there]


def test_a_doubled_message_arrives_twice_and_a_lost_one_never():
    """The weather is what it says."""
    for weather, count in ((NetworkWeather(doubling=1.0), 2), (NetworkWeather(loss=1.0), 0)):
        loop, arrived = EventLoop(Random(1)), []
        network = Network(loop, Random(1), weather)
        network.attach(B, arrived.append)
        network.send([PromiseRequest(A, B, Epoch(1))])
        loop.run(1_000)
        assert len(arrived) == network.carried == count


def batch(*epochs):
    entries = [Entry(epoch, index, b"x") for index, epoch in enumerate(epochs, 1)]
    return Ready(hard_state=HardState(Epoch(epochs[-1]), A), entries=entries)


def test_a_crash_loses_what_was_not_synced():
    """An acknowledgement before the sync would be a lie, and only a disk that forgets shows it."""
    disk = Disk()
    disk.write(batch(1, 1))
    disk.sync()
    disk.write(Applied(2, disk.membership, KeyValueMachine(), 0))
    disk.crash(Random(1), may_keep=False)
    state = disk.load()
    assert (state.applied, len(state.entries)) == (0, 2)
    assert disk.holds(Entry(1, 2, b"x"))
    assert not disk.holds(Entry(2, 2, b"x"))
    assert not disk.holds(Entry(1, 3, b"x"))


def test_a_torn_batch_is_dropped_whole():
    """Some prefix of the transactions survives, never half of one."""
    lengths = set()
    for seed in range(20):
        disk = Disk()
        disk.write(batch(1, 1))
        disk.write(Applied(1, disk.membership, KeyValueMachine(), 0))
        disk.crash(Random(seed), may_keep=True)
        lengths.add((len(disk.entries), disk.applied, disk.hard_state.epoch))
    assert lengths == {(0, 0, 0), (2, 0, 1), (2, 1, 1)}


def test_damage_is_an_error_and_never_an_absence():
    """Trap T2: a store that cannot be read has forgotten what it promised."""
    disk = Disk()
    disk.is_corrupt = True
    with pytest.raises(CorruptRecord):
        disk.load()


def test_a_repeated_op_id_gets_the_answer_of_the_first_time():
    """Trap T7: a retry that finds its own success must not be told that its condition failed."""
    machine = KeyValueMachine()
    create = Command(7, CommandKind.PUT_IF_ABSENT, 1).encode()
    assert machine.apply(create) == (True, 7)
    assert machine.fresh_op_id == 7
    assert machine.copy().apply(create) == (True, 7)
    assert machine.apply(create) == (True, 7)
    assert machine.fresh_op_id == 0
    assert machine.apply(Command(8, CommandKind.PUT_IF_ABSENT, 1).encode()) == (False, 7)
    assert machine.apply(Command(9, CommandKind.PUT_IF_MATCH, 1, expected=7).encode()) == (True, 9)
    assert machine.apply(Command(10, CommandKind.DELETE, 1).encode()) == (True, 0)
    assert machine.get(1) == (True, 0)


def test_the_command_replays_a_seed_and_says_how_it_ended(monkeypatch):
    """Every failure names this command; it must show the same schedule again, and fail again."""
    runner = CliRunner()
    traced = runner.invoke(main, ["--seed", "7", "--trace"])
    assert traced.exit_code == 0
    assert "no violation" in traced.output
    assert "all faults end" in traced.output
    many = runner.invoke(main, ["--seed", "7", "--schedules", "3"])
    assert "3 schedules from seed 7 on, no violation" in many.output
    monkeypatch.setattr(command, "BLOCK", 2)
    blocks = runner.invoke(main, ["--seed", "7", "--schedules", "3"]).output.splitlines()
    assert [line.split(",")[0] for line in blocks] == [
        "2 schedules from seed 7 on",
        "3 schedules from seed 7 on",
    ]
    assert blocks[-1].split(" in ")[0] == many.output.split(" in ")[0]
    broken = runner.invoke(main, ["--seed", "0", "--mutant", "forgets-op-ids"])
    assert broken.exit_code == 1
    assert (
        "replay: python -m objstore.testing.sim --mutant forgets-op-ids --seed 0" in broken.output
    )


def test_a_schedule_that_is_closed_leaves_nothing_to_the_collector():
    """Millions of schedules run with the collector off: what refers to itself would fill the memory."""
    run_schedules([1])
    gc.collect()
    gc.disable()
    try:
        run_schedules(range(7, 27))
        assert gc.collect() == 0
    finally:
        gc.enable()

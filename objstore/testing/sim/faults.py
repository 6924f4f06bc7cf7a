"""Which faults a schedule has, and when they strike. The seed picks both.

In the manner of swarm testing, each schedule switches most faults off: a schedule in which everything goes wrong
rarely gets far enough for anything to be lost. A fault is a row of `INJECTIONS`; those without a row are part of the
weather (`FaultPlan`), all the time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

import msgspec

from objstore.testing.sim.network import NetworkWeather
from objstore.testing.sim.replica import CrashPoint, SimReplica

if TYPE_CHECKING:
    from objstore.testing.sim.cluster import Cluster

__all__ = ["INJECTIONS", "Fault", "FaultPlan", "LogLimits", "draw_plan"]


class Fault(Enum):
    """What can go wrong."""

    LOSS = "loss"
    DUPLICATION = "duplication"
    REORDERING = "reordering"
    CUTS = "one-way cuts"
    ISOLATION = "isolation"
    CLOGGING = "clogging"
    PAUSES = "pauses"
    CRASHES = "crashes"
    TORN_BATCHES = "torn batches"
    IO_ERRORS = "I/O errors"
    NO_SPACE = "no space"
    SLOW_DISKS = "slow disks"
    BIT_FLIPS = "bit flips"
    CLOCK_JUMPS = "clock jumps"
    WIPED_DISKS = "wiped disks"
    LAYOUT_CHANGES = "layout changes"
    HAND_OVERS = "hand-overs"
    WRONG_NAMINGS = "wrong namings"
    REPEATED_NAMINGS = "repeated and doubled namings"
    LATE_NAMINGS = "late namings"
    CONTROL_AWAY = "control store away"


class LogLimits(msgspec.Struct, frozen=True):
    """Bounds of the log, small enough that a short schedule reaches them."""

    retained_entries: int
    message_entries_max: int
    window_entries: int
    apply_entries_max: int
    state_hash_every: int
    resend_ms: int


class FaultPlan(msgspec.Struct, frozen=True):
    """Everything that a seed decides before the first event."""

    seed: int
    faults: tuple[Fault, ...]
    replicas: int
    clients: int
    operations: int
    keys: int
    window_ms: int
    """Faults strike until then."""
    weather: NetworkWeather
    limits: LogLimits
    batching_ms: int
    sync_ms: int
    """Upper bound of what a sync takes."""
    ghosts: float
    """Share of mutations whose request arrives a second time, late."""
    sends_early: bool
    """Whether a leader sends entries before its own sync of them, which costs it nothing but its own vote."""
    naming_delay_ms: int
    leader_hints: float

    @property
    def tears_batches(self) -> bool:
        """Tell whether a crash may keep some of what was not synced."""
        return Fault.TORN_BATCHES in self.faults

    def describe(self) -> str:
        """Say it in one line."""
        faults = ", ".join(fault.value for fault in self.faults) or "none"
        return (
            f"seed {self.seed}: {self.replicas} replicas, {self.clients} clients,"
            f" {self.operations} operations on {self.keys} keys, faults: {faults}"
        )


_ODDS = {
    Fault.LOSS: 0.3,
    Fault.DUPLICATION: 0.3,
    Fault.REORDERING: 0.5,
    Fault.CUTS: 0.25,
    Fault.ISOLATION: 0.35,
    Fault.CLOGGING: 0.2,
    Fault.PAUSES: 0.2,
    Fault.CRASHES: 0.45,
    Fault.TORN_BATCHES: 0.4,
    Fault.IO_ERRORS: 0.1,
    Fault.NO_SPACE: 0.08,
    Fault.SLOW_DISKS: 0.1,
    Fault.BIT_FLIPS: 0.06,
    Fault.CLOCK_JUMPS: 0.1,
    Fault.WIPED_DISKS: 0.1,
    Fault.LAYOUT_CHANGES: 0.15,
    Fault.HAND_OVERS: 0.15,
    Fault.WRONG_NAMINGS: 0.4,
    Fault.REPEATED_NAMINGS: 0.15,
    Fault.LATE_NAMINGS: 0.25,
    Fault.CONTROL_AWAY: 0.1,
}

_ALL = tuple(_ODDS.items())

_SIZES = (3,) * 16 + (5, 2, 2, 1)


def draw_plan(seed: int, random: Random) -> FaultPlan:
    """Let the seed decide."""
    draw, choose = random.random, random.choice
    faults = tuple(fault for fault, odds in _ALL if draw() < odds)
    clients = choose((2, 3, 4))
    return FaultPlan(
        seed=seed,
        faults=faults,
        replicas=choose(_SIZES),
        clients=clients,
        operations=14 + int(draw() * 5),
        keys=choose((1, 2, 3)),
        window_ms=choose((200, 500, 1_200)),
        weather=_draw_weather(faults, random),
        limits=LogLimits(
            retained_entries=choose((2, 6, 64)),
            message_entries_max=choose((1, 2, 64)),
            window_entries=choose((2, 8, 64)),
            apply_entries_max=choose((1, 3, 64)),
            state_hash_every=choose((3, 16)),
            resend_ms=choose((100, 300)),
        ),
        batching_ms=choose((0, 2, 6)),
        sync_ms=choose((1, 3, 12)),
        ghosts=0.2 if Fault.DUPLICATION in faults else 0.0,
        sends_early=choose((False, True)),
        naming_delay_ms=800 if Fault.LATE_NAMINGS in faults else 4,
        leader_hints=choose((0.0, 0.5, 1.0)),
    )


def _draw_weather(faults: tuple[Fault, ...], random: Random) -> NetworkWeather:
    return NetworkWeather(
        latency_ms=random.choice((2, 5, 20)),
        stray_ms=random.choice((60, 300, 1_000)) if Fault.REORDERING in faults else 0,
        loss=random.choice((0.02, 0.1, 0.3)) if Fault.LOSS in faults else 0.0,
        doubling=random.choice((0.05, 0.3)) if Fault.DUPLICATION in faults else 0.0,
    )


# --- what strikes at a moment -------------------------------------------------------------------------------


def _duration_ms(random: Random) -> int:
    return random.choice((30, 120, 500))


def _anybody(cluster: Cluster, random: Random) -> SimReplica:
    """Pick a replica, the leader in every second case: that is where it hurts."""
    leader = cluster.replicas.get(cluster.control.leader)
    if leader is not None and random.random() < 0.5:
        return leader
    return random.choice(list(cluster.replicas.values()))


def _cut(cluster: Cluster, random: Random) -> None:
    """Cut one direction of one link."""
    source, target = _anybody(cluster, random), _anybody(cluster, random)
    cluster.network.cuts[source.name, target.name] = cluster.loop.now + _duration_ms(random)


def _isolate(cluster: Cluster, random: Random) -> None:
    """Cut one replica off, in both directions or in one."""
    replica = _anybody(cluster, random)
    until = cluster.loop.now + _duration_ms(random)
    inward, outward = random.choice(((True, True), (True, False), (False, True)))
    for other in cluster.replicas:
        if inward:
            cluster.network.cuts[other, replica.name] = until
        if outward:
            cluster.network.cuts[replica.name, other] = until


def _clog(cluster: Cluster, random: Random) -> None:
    replica = _anybody(cluster, random)
    cluster.network.clogged_until[replica.name] = cluster.loop.now + _duration_ms(random)


def _pause(cluster: Cluster, random: Random) -> None:
    replica = _anybody(cluster, random)
    replica.paused_until = cluster.loop.now + _duration_ms(random)


def _crash(cluster: Cluster, random: Random) -> None:
    """Crash one replica now or at a point of the contract, at times all of them."""
    replicas = [_anybody(cluster, random)]
    if random.random() < 0.15:
        replicas = list(cluster.replicas.values())
    for replica in replicas:
        point = random.choice(list(CrashPoint))
        if point is CrashPoint.AT_ONCE:
            replica.crash(may_keep=cluster.plan.tears_batches)
            cluster.restart_later(replica)
        else:
            replica.crash_point = point


def _fail_sync(cluster: Cluster, random: Random) -> None:
    _anybody(cluster, random).disk.fails_next_sync = True


def _fill(cluster: Cluster, random: Random) -> None:
    _anybody(cluster, random).disk.full_until = cluster.loop.now + _duration_ms(random)


def _slow_down(cluster: Cluster, random: Random) -> None:
    until = cluster.loop.now + random.choice((300, 1_000, 3_000))
    _anybody(cluster, random).disk.slow_until = until


def _flip(cluster: Cluster, random: Random) -> None:
    """Damage a durable record: it is found when the store is opened again."""
    replica = _anybody(cluster, random)
    if cluster.may_lose(replica):
        replica.disk.is_corrupt = True
        replica.crash(may_keep=True)
        cluster.restart_later(replica)


def _wipe(cluster: Cluster, random: Random) -> None:
    """Lose a whole store."""
    replica = _anybody(cluster, random)
    if cluster.may_lose(replica):
        replica.crash(may_keep=False)
        cluster.lose(replica)


def _jump(cluster: Cluster, random: Random) -> None:
    """Let a clock jump by up to ten seconds forward, three back."""
    replica = _anybody(cluster, random)
    replica.clock_offset_ms += random.choice((-3_000, -400, 400, 3_000, 10_000))
    if replica.is_up:
        replica.arm_timer()


def _change_layout(cluster: Cluster, random: Random) -> None:
    """Move a replica of the partition to another store."""
    wanted = cluster.operator.wanted
    if cluster.operator.is_content:
        old = random.choice(wanted)
        cluster.operator.replace(old, cluster.add_store())


def _hand_over(cluster: Cluster, random: Random) -> None:
    leader = cluster.replicas.get(cluster.control.leader)
    if leader is not None:
        leader.hand_over_to(_anybody(cluster, random).name)


def _name_wrongly(cluster: Cluster, random: Random) -> None:  # noqa: ARG001 one shape of injections
    if not cluster.control.is_away:
        cluster.control.name_somebody()


def _repeat_naming(cluster: Cluster, random: Random) -> None:
    """Tell somebody of the latest epoch, at times after a quick restart."""
    replica = _anybody(cluster, random)
    if random.random() < 0.5:
        replica.crash(may_keep=cluster.plan.tears_batches)
        cluster.loop.after(1, replica.start)
        cluster.loop.after(2 + int(random.random() * 30), cluster.control.repeat, replica)
    else:
        cluster.control.repeat(replica)


def _control_away(cluster: Cluster, random: Random) -> None:
    cluster.control.away_until = cluster.loop.now + random.choice((300, 1_500))


INJECTIONS: dict[Fault, tuple[int, Callable[[Cluster, Random], None]]] = {
    Fault.CUTS: (4, _cut),
    Fault.ISOLATION: (3, _isolate),
    Fault.CLOGGING: (3, _clog),
    Fault.PAUSES: (3, _pause),
    Fault.CRASHES: (4, _crash),
    Fault.IO_ERRORS: (2, _fail_sync),
    Fault.NO_SPACE: (2, _fill),
    Fault.SLOW_DISKS: (2, _slow_down),
    Fault.BIT_FLIPS: (2, _flip),
    Fault.WIPED_DISKS: (2, _wipe),
    Fault.CLOCK_JUMPS: (3, _jump),
    Fault.LAYOUT_CHANGES: (2, _change_layout),
    Fault.HAND_OVERS: (3, _hand_over),
    Fault.WRONG_NAMINGS: (4, _name_wrongly),
    Fault.REPEATED_NAMINGS: (4, _repeat_naming),
    Fault.CONTROL_AWAY: (1, _control_away),
}
"""How often each strikes at most, and how."""

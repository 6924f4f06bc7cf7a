"""One schedule: a cluster of one partition, its clients, its control store, its operator, and the faults of its seed.

    faults strike     0 .. window_ms of the plan; clients call their operations meanwhile
    quiet             everything is healed; the clients finish, the layout becomes what is wanted, one more write
                      must succeed, and then the event loop must run dry: a settled log has no timer
    the end           all members agree, and the history of each key is explained by some order

One root seed; each actor has a generator of its own, split off it, so that one actor's draws do not move another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from objstore.consensus import (
    LogConfig,
    Membership,
    PartitionLog,
    ReplicaId,
    make_replica_id,
)
from objstore.testing.sim.checkers import Checkers, Violation
from objstore.testing.sim.clients import Client
from objstore.testing.sim.control import ControlStore
from objstore.testing.sim.disk import Disk
from objstore.testing.sim.faults import INJECTIONS, Fault, FaultPlan, draw_plan
from objstore.testing.sim.layout import Operator
from objstore.testing.sim.loop import EventLoop
from objstore.testing.sim.machine import CommandKind, KeyValueMachine
from objstore.testing.sim.network import Network, NetworkWeather
from objstore.testing.sim.replica import SimReplica
from objstore.testing.sim.trace import TraceLog

__all__ = ["Cluster", "Parts"]

QUIET_MS_MAX = 60_000
"""Bound on liveness: how long everything may take to come right after the last fault."""

ACTORS = 8
"""Generators per root seed."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cluster is made of; a mutant replaces one part."""

    log: type[PartitionLog] = PartitionLog
    replica: type[SimReplica] = SimReplica
    disk: type[Disk] = Disk
    machine: type[KeyValueMachine] = KeyValueMachine
    client: type[Client] = Client

    def build(self, seed: int, trace: TraceLog | None = None) -> Cluster:
        """Return the cluster of a seed, made of these."""
        return Cluster(seed, self, trace)


class _Actor(Random):
    """A generator that is made with its seed, which costs half of what `Random` takes to be seeded anew."""

    def __init__(self, seed: int) -> None:
        super(Random, self).__init__(seed)
        self.gauss_next = None


class Cluster:
    """Everything that one seed decides."""

    def __init__(self, seed: int, parts: Parts, trace: TraceLog | None = None) -> None:
        def actor(number: int) -> Random:
            return _Actor(seed * ACTORS + number)

        self.parts, self.trace = parts, trace
        self.plan: FaultPlan = draw_plan(seed, actor(0))
        self.loop = EventLoop(actor(1))
        self.network = Network(self.loop, actor(2), self.plan.weather)
        self.disk_random = actor(3)
        self._fault_random = actor(4)
        self.checkers = Checkers()
        self._moment = self._op_ids = self._generation = 0
        self.replicas: dict[ReplicaId, SimReplica] = {}
        founders = [make_replica_id(name, 1) for name in "abcde"[: self.plan.replicas]]
        if trace is not None:
            trace.note(0, self.plan.describe())
        for name in founders:
            self._add(name, Membership(tuple(founders)))
        self.control = ControlStore(self, actor(5))
        self.open_clients = 0
        self.is_quiet = False
        self.operator = Operator(self, actor(6), founders)
        self._open_clients(actor(7))
        self._plan_faults()

    def _open_clients(self, random: Random) -> None:
        count, operations = self.plan.clients, self.plan.operations
        for number in range(count):
            share = (operations + number) // count
            self.parts.client(self, f"client {number}", random, share)

    def _plan_faults(self) -> None:
        random, window_ms = self._fault_random, self.plan.window_ms
        for fault in self.plan.faults:
            if fault in INJECTIONS:
                times_max, _ = INJECTIONS[fault]
                for _ in range(1 + int(random.random() * times_max)):
                    self.loop.at(int(random.random() * window_ms), self._strike, fault)

    def _strike(self, fault: Fault) -> None:
        if self.trace is not None:
            self.trace.note(self.loop.now, f"fault: {fault.value}")
        INJECTIONS[fault][1](self, self._fault_random)

    # --- stores ---------------------------------------------------------------------------------------

    def _add(self, name: ReplicaId, membership: Membership) -> SimReplica:
        limits = self.plan.limits
        config = LogConfig(
            replica=name,
            retained_entries=limits.retained_entries,
            message_entries_max=limits.message_entries_max,
            window_entries=limits.window_entries,
            apply_entries_max=limits.apply_entries_max,
            resend_ms=limits.resend_ms,
            snapshot_ms=400,
            handover_ms=300,
            state_hash_every=limits.state_hash_every,
        )
        disk = self.parts.disk(membership)
        disk.machine = self.parts.machine()
        self.checkers.disks[name] = disk
        replica = self.replicas[name] = self.parts.replica(self, config, disk)
        self.network.attach(name, replica.receive)
        replica.start()
        return replica

    def add_store(self) -> ReplicaId:
        """Add an empty store under a new id, and return that."""
        self._generation += 1
        name = make_replica_id("xyzuvwrst"[self._generation % 9], self._generation + 1)
        self._add(name, Membership())
        return name

    def may_lose(self, replica: SimReplica) -> bool:
        """Tell whether a majority would be left, by anybody's idea of the membership, without this store, too.

        A learner counts as the voter that it may become while nobody knows that its store is gone.
        """
        if replica.disk.is_lost:
            return False
        memberships: list[Membership] = []
        for other in self.replicas.values():
            memberships += other.disk.memberships()
            if other.is_up:
                memberships += [other.membership, other.log.membership]
        return all(self._survives(membership, replica.name) for membership in memberships)

    def _survives(self, membership: Membership, name: ReplicaId) -> bool:
        disks = self.checkers.disks
        members = membership.members
        lost = sum(disks[member].is_lost or disks[member].is_corrupt for member in members)
        return lost + (name in members) <= (len(membership.voters) - 1) // 2

    def lose(self, replica: SimReplica) -> None:
        """A store is gone for ever: an empty one takes its place, as a stranger."""
        replica.disk.is_lost = True
        self.replicas.pop(replica.name, None)
        self.operator.replace(replica.name, self.add_store())

    def retire(self, replica: SimReplica) -> None:
        """Switch off a store that is no member any more."""
        replica.crash(may_keep=False)
        replica.disk.is_lost = True
        self.replicas.pop(replica.name, None)

    def restart_later(self, replica: SimReplica) -> None:
        """Start a process again, soon or after a while."""
        self.loop.after(self._fault_random.choice((5, 60, 500)), replica.start)

    # --- services to the actors -----------------------------------------------------------------------

    def sync_latency_ms(self) -> int:
        """Draw how long a sync takes."""
        return 1 + int(self.disk_random.random() * self.plan.sync_ms)

    def next_moment(self) -> int:
        """Return a number for a call or a return; no two are equal."""
        self._moment += 1
        return self._moment

    def next_op_id(self) -> int:
        """Return a new op-id."""
        self._op_ids += 1
        return self._op_ids

    def submit_ghost(self, payload: bytes) -> None:
        """A request arrives for which nobody waits any more."""
        leader = self.replicas.get(self.control.leader)
        if leader is not None:
            leader.submit(payload, None)

    # --- the schedule ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the whole schedule; raise `Violation`, or what the core raises."""
        self.loop.run(self.plan.window_ms)
        self._heal()
        self._wait("the clients and the layout", self._is_served)
        self._probe()
        # An older leader may have served all of this, while whoever was named last has to be found useless yet.
        self._wait("the replica that was named last", self._is_led)
        self.control.is_watching = False
        self.loop.run(self.loop.now + QUIET_MS_MAX)
        if not self.loop.is_idle:
            raise Violation("liveness", "the replicas do not come to rest")
        self._check_end()

    def close(self) -> None:
        """Let go of the actors, all of which refer to this cluster, so that nothing is left for the collector of cycles."""
        self.network.detach()
        self.replicas.clear()
        del self.control, self.operator

    def _heal(self) -> None:
        if self.trace is not None:
            self.trace.note(self.loop.now, "all faults end")
        self.is_quiet = True
        self.network.heal(NetworkWeather(latency_ms=self.plan.weather.latency_ms))
        self.control.away_until = 0
        now = self.loop.now
        for replica in list(self.replicas.values()):
            replica.paused_until = min(replica.paused_until, now)
            replica.crash_point = None
            replica.disk.fails_next_sync = False
            replica.disk.full_until = replica.disk.slow_until = now
            replica.start()

    def _is_served(self) -> bool:
        return not self.open_clients and self.operator.is_content and not self.control.is_doubled

    def _is_led(self) -> bool:
        leader = self.replicas.get(self.control.leader)
        return leader is not None and leader.is_leading

    def _wait(self, what: str, done: object) -> None:
        deadline = self.loop.now + QUIET_MS_MAX
        if done():  # type: ignore[operator]
            return
        self.loop.run(deadline, done=done)  # type: ignore[arg-type]
        if not done():  # type: ignore[operator]
            raise Violation("liveness", f"{what} got nowhere after all faults were gone")

    def _probe(self) -> None:
        """One more write must succeed."""
        before = self.checkers.acknowledged
        for _ in range(5):
            self.parts.client(self, "probe", self._fault_random, 1, kinds=(CommandKind.PUT,))
            self._wait("a client", lambda: self.open_clients == 0)
            if self.checkers.acknowledged > before:
                return
        raise Violation("liveness", "no write succeeded after all faults were gone")

    def _check_end(self) -> None:
        if not self._is_led():
            raise Violation("liveness", "nobody leads in the end")
        leader = self.replicas[self.control.leader]
        members = [self.replicas[name] for name in leader.membership.members]
        self.checkers.check_agreement([(member.log, member.machine.digest) for member in members])
        self.checkers.check_histories()

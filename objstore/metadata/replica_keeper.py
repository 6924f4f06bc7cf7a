"""Keeps a replicated catalogue serving: names leaders, suspects stores, brings members in line with the ring.

One process holds all stores and is the only one that names leaders, and everything here runs on its event loop.

Why a read needs no round of confirmation here: a partition stops serving, in this table, before anybody else is named;
the new leader serves only after it has applied its own opening entry, and so all that any leader before it can have
acknowledged; and what this process reads or acknowledges goes through this table. A look-up is one step of the event
loop between the question who leads and the answer from that leader's file. Processes beside this one read through what
`publish_to` shows them; `serving_board` says why that holds.

Suspicion: an operation of the drive that takes longer than a second, an error, a full drive. It decides only who may
try to lead; safety is the log's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Final

import apsw
import structlog

from objstore.cluster.control_store import ControlStore
from objstore.consensus import Epoch, Membership, ReplicaId
from objstore.metadata.leader_balance import LeaderBalance
from objstore.metadata.leader_names import LeaderNames
from objstore.metadata.reader import CatalogReader
from objstore.metadata.replica_census import Census, take_census
from objstore.metadata.replica_events import (
    Align,
    Aligned,
    Damaged,
    HandOver,
    HandOverReady,
    Lead,
    NotLed,
    Rejoined,
    Report,
    Serving,
    SteppedDown,
    Told,
    Unreadable,
)
from objstore.metadata.replica_plan import (
    choose_leader,
    is_aligned,
    spread_leaders,
    with_majority_in,
)
from objstore.metadata.replica_store import ReplicaStore
from objstore.metadata.replica_trust import ReplicaTrust, is_unreadable
from objstore.metadata.sql_catalog import Store
from objstore.model.errors import (
    Corrupt,
    CorruptRecord,
    DriveUnavailable,
    ObjstoreError,
    StorageFull,
)
from objstore.model.names import PartitionId

__all__ = ["ReplicaKeeper"]

PATIENCE_S: Final = 15.0
"""How long a command may wait for a majority."""
TICK_S: Final = 0.1
STALLED_S: Final = 1.0
"""An operation of a drive that takes longer makes its store suspect."""
SUSPECT_S: Final = 10.0
"""How long a store that stalled leads nothing after it answers again."""
FULL_S: Final = 0.8
"""A store that finds no room for so long, after it gave back what it can, counts as full."""
TAKEOVER_S: Final = 1.5
"""How long a named leader may take before another one is named."""
ALIGNED_AT_ONCE: Final = 16

_log = structlog.get_logger("objstore.replicas")


class ReplicaKeeper:
    """Who serves which partition. Use from one event loop."""

    def __init__(
        self,
        control: ControlStore,
        wanted: Mapping[PartitionId, Sequence[ReplicaId]],
    ) -> None:
        self.patience_s = PATIENCE_S
        self._names = LeaderNames(control)
        self._wanted = {partition: tuple(replicas) for partition, replicas in wanted.items()}
        self._stores: dict[ReplicaId, ReplicaStore] = {}
        self._voters: dict[PartitionId, Membership] = {}
        self._serving: dict[PartitionId, ReplicaStore] = {}
        self._named_at: dict[PartitionId, float] = {}
        self._spent: dict[PartitionId, Epoch] = {}
        self._suspect_until: dict[ReplicaId, float] = {}
        self._trust = ReplicaTrust()
        self.balance = LeaderBalance()
        self._handed_over: dict[PartitionId, ReplicaId] = {}
        """Partitions whose next leader has everything, and is to be named."""
        self._hanging: set[ReplicaStore] = set()
        self._low: frozenset[ReplicaId] = frozenset()
        self._stuck: frozenset[PartitionId] = frozenset()
        """Partitions in which nothing can be written for lack of room."""
        self._unnamed: frozenset[PartitionId] = frozenset()
        """Partitions that need another leader while the control store has no room to name one."""
        self._told = ""
        """The last trouble with naming, told once."""
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._naming = asyncio.Lock()
        self._is_aligned = False
        """No partition is known to have other members than those that are wanted; asked ten times a second."""
        self._show: Callable[[PartitionId, ReplicaStore | None], None] = _ignore

    # --- stores

    def add(self, store: ReplicaStore) -> None:
        """Take a started store into the group."""
        self._stores[store.replica] = store
        for partition, membership in store.founded.items():
            known = self._voters.get(partition)
            if membership.voters and (known is None or len(known.members) == 0):
                self._set_voters(partition, membership)
        self._announce(store)
        self._wake.set()

    def _announce(self, store: ReplicaStore) -> None:
        """Let a store that came back hear from whoever leads what it holds."""
        for partition, membership in self._voters.items():
            leader = self._stores.get(self._names[partition].leader)
            if leader is not None and leader is not store and store.replica in membership.members:
                leader.post(Rejoined(partition))

    def remove(self, replica: ReplicaId) -> ReplicaStore | None:
        """Take a store out: nothing is asked of it any more."""
        store = self._stores.pop(replica, None)
        if store is not None:
            self._trust.forget(replica)
            self._stop_serving(p for p, at in list(self._serving.items()) if at is store)
        self._wake.set()
        return store

    def want(self, wanted: Mapping[PartitionId, Sequence[ReplicaId]]) -> None:
        """Change which replicas are to hold the partitions."""
        self._wanted = {partition: tuple(replicas) for partition, replicas in wanted.items()}
        self._is_aligned = False
        self._wake.set()

    async def suspect(
        self, store: object, partitions: Sequence[PartitionId], error: Exception
    ) -> bool:
        """See `Replicas`: a store that cannot be read goes out of service, one that is damaged hands over what it serves."""
        own = next((own for own in self.stores if own is store), None)
        if own is None or isinstance(error, apsw.ConnectionClosedError | apsw.BusyError):
            return True
        if not isinstance(error, Corrupt):
            self._look_at(own)
        if own.failure is not None or not is_unreadable(error):
            return True
        doubted = [p for p in partitions if self._serving.get(p) is own]
        are_better = [self._doubt(own, partition, error) for partition in doubted]
        return all(are_better)

    def _doubt(self, store: ReplicaStore, partition: PartitionId, error: Exception) -> bool:
        """Let another replica lead a partition, if there may be a better one."""
        _log.error("replica_unreadable", drive=store.replica, partition=partition, cause=str(error))
        others = self._answering().intersection(self._voters[partition].voters) - {store.replica}
        is_better = self._trust.note_unreadable(
            store.replica, partition, error, others=others, now=monotonic()
        )
        if is_better:
            self._stop_serving([partition])
            self._wake.set()
        return is_better

    def limit(self, replica: ReplicaId, *, lacks_room: bool) -> None:
        """Take note whether the drive of a store has reached its reserve."""
        low = self._low | {replica} if lacks_room else self._low - {replica}
        if low != self._low or low:
            self._low = low
            without = with_majority_in(self._voters, low)
            for store in self.stores:
                store.without_room = without

    def hangs(self, store: Store) -> None:
        """See `Replicas`: it leads nothing until some time after it goes on."""
        for own in self.stores:
            if own is store:
                self._hanging.add(own)
                self._stall(own)
                self._wake.set()

    def goes_on(self, store: Store) -> None:
        """See `Replicas`."""
        self._hanging = {own for own in self._hanging if own is not store}

    def _look_at(self, store: ReplicaStore) -> None:
        """Take a store out of service if it cannot be read."""
        if store.failure is not None:
            return
        try:
            store.reader.partitions()
        except apsw.ThreadingViolationError:
            return  # somebody reads it at this moment
        except apsw.Error as error:
            store.abandon(error)
            self.on_failure(store, error)

    def publish_to(self, show: Callable[[PartitionId, ReplicaStore | None], None]) -> None:
        """Tell who serves what, now and whenever it changes: at once, before anybody acts on the change."""
        self._show = show
        for partition, store in self._serving.items():
            show(partition, store)

    def fault_of(self, replica: ReplicaId) -> Exception | None:
        """Return what keeps a store, or one of its replicas, out of service for good."""
        store = self._stores.get(replica)
        if store is not None and store.failure is not None:
            return store.failure
        for partition in self._trust.damaged_of(replica):
            if replica in self._voters[partition].members:
                return CorruptRecord("a replica is damaged", partition=partition)
        for partition, fault in self._trust.unreadable_of(replica, monotonic()):
            if replica in self._voters[partition].members:
                return fault
        return None

    def can_spare(self, replica: ReplicaId) -> bool:
        """Tell whether each partition keeps a majority without that store."""
        usable = self._usable() - {replica}
        return all(
            2 * sum(v in usable and self._trust.votes(v, partition) for v in members.voters)
            > len(members.voters)
            for partition, members in self._voters.items()
            if replica in members.voters
        )

    @property
    def stores(self) -> Sequence[ReplicaStore]:
        """The stores of the group."""
        return tuple(self._stores.values())

    # --- who serves

    def at(self, partition: PartitionId) -> ReplicaStore:
        """See `Stores`."""
        store = self._serving.get(partition)
        if store is None:
            raise DriveUnavailable("no replica leads at the moment", partition=partition)
        return store

    def is_serving(self, partition: PartitionId) -> bool:
        """Tell whether `at` would answer."""
        return partition in self._serving

    def refusal(self, partition: PartitionId) -> StorageFull | None:
        """See `Replicas`."""
        is_stuck = partition in self._stuck
        return StorageFull("the drives of the catalogue are full") if is_stuck else None

    def scans(self) -> Iterable[tuple[CatalogReader, PartitionId]]:
        """See `Stores`: partitions that are served at the moment."""
        for partition, store in sorted(self._serving.items(), key=_partition):
            yield store.reader, partition

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return when a partition begins to be served, or after a while."""
        changed = self._changed
        self._wake.set()
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await changed.wait()
        except TimeoutError:
            return

    def unaligned(self) -> list[PartitionId]:
        """Return the partitions whose replicas are not those that are wanted."""
        if self._is_aligned:
            return []
        found = [
            partition
            for partition, wanted in sorted(self._wanted.items())
            if not is_aligned(self._voters.get(partition), wanted)
        ]
        self._is_aligned = not found
        return found

    def census(self) -> Census:
        """Return what the replicas are at the moment (for metrics)."""
        leaders = {partition: store.replica for partition, store in self._serving.items()}
        usable = {store.replica for store in self.stores if store.is_usable}
        unreadable = self._trust.unreadable_count
        return take_census(self._voters, leaders, usable, unreadable_count=unreadable)

    # --- reports of the stores

    def on_report(self, store: ReplicaStore, reports: Sequence[Report]) -> None:
        """Take what a store tells; called on the event loop."""
        for report in reports:
            self._reports[type(report)](self, store, report)

    def on_failure(self, store: ReplicaStore, failure: Exception) -> None:
        """A store is out of service."""
        _log.error("replica_store_failed", drive=store.replica, cause=str(failure))
        self._stop_serving(p for p, at in list(self._serving.items()) if at is store)
        self._wake.set()

    def _on_serving(self, store: ReplicaStore, report: Serving) -> None:
        self._set_voters(report.partition, report.membership)
        name = self._names[report.partition]
        if (name.epoch, name.leader) != (report.epoch, store.replica) or not store.is_usable:
            return
        self._serving[report.partition] = store
        self._show(report.partition, store)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _on_stepped_down(self, store: ReplicaStore, report: SteppedDown) -> None:
        name = self._names[report.partition]
        if name.leader == store.replica and report.epoch >= name.epoch:
            self._stop_serving([report.partition])
            self._spend(report.partition, report.epoch)

    def _on_hand_over_ready(self, store: ReplicaStore, report: HandOverReady) -> None:
        name = self._names[report.partition]
        if (name.epoch, name.leader) == (report.epoch, store.replica):
            self._handed_over[report.partition] = report.target
            self._wake.set()

    def _on_not_led(self, store: ReplicaStore, report: NotLed) -> None:
        name = self._names[report.partition]
        if (name.epoch, name.leader) == (report.epoch, store.replica):
            self._stop_serving([report.partition])
            self._spend(report.partition, report.promised)

    def _on_aligned(self, _store: ReplicaStore, report: Aligned) -> None:
        self._set_voters(report.partition, report.membership)

    def _set_voters(self, partition: PartitionId, membership: Membership) -> None:
        self._voters[partition] = membership
        self._is_aligned = False

    def _on_damaged(self, store: ReplicaStore, report: Damaged) -> None:
        _log.error(
            "replica_damaged", drive=store.replica, partition=report.partition, cause=report.cause
        )
        self._trust.note_damaged(store.replica, report.partition)
        if self._serving.get(report.partition) is store:
            self._stop_serving([report.partition])
        self._named_at.pop(report.partition, None)
        self._wake.set()

    def _on_unreadable(self, store: ReplicaStore, report: Unreadable) -> None:
        if is_unreadable(report.cause) and self._serving.get(report.partition) is store:
            self._doubt(store, report.partition, report.cause)

    def _spend(self, partition: PartitionId, epoch: Epoch) -> None:
        self._spent[partition] = max(epoch, self._spent.get(partition, Epoch(0)))
        self._named_at.pop(partition, None)
        self._wake.set()

    def _stop_serving(self, partitions: Iterable[PartitionId]) -> None:
        for partition in partitions:
            self._serving.pop(partition, None)
            self._show(partition, None)
            self._named_at.pop(partition, None)

    _reports: Final[Mapping[type[object], Callable[..., None]]] = {
        Serving: _on_serving,
        SteppedDown: _on_stepped_down,
        HandOverReady: _on_hand_over_ready,
        NotLed: _on_not_led,
        Aligned: _on_aligned,
        Damaged: _on_damaged,
        Unreadable: _on_unreadable,
    }

    # --- naming

    async def open(self) -> None:
        """Name leaders for all partitions, as after every start."""
        await self._names.load()
        usable = [store.replica for store in self.stores if store.is_usable]
        voters = {partition: member.voters for partition, member in self._voters.items()}
        await self._name(spread_leaders(voters, self._wanted, usable))

    async def run(self) -> None:
        """Watch and mend, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._mend()
                self._told = ""
            except ObjstoreError as error:
                if self._told != str(error):
                    self._told = str(error)
                    _log.warning("naming_failed", cause=self._told)
                await asyncio.sleep(TICK_S)
            try:
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _mend(self) -> None:
        self._suspect_stalled()
        self._refuse_where_full()
        leaders = self._missing_leaders()
        self._unnamed &= leaders.keys()
        if leaders:
            await self._name_where_room_is(leaders)
        await self._align()
        await self._level()

    def _suspect_stalled(self) -> None:
        now = monotonic()
        for store in self.stores:
            store.fail_waiting(since=now - self.patience_s)
            since = store.busy_since
            if store in self._hanging or (since is not None and now - since > STALLED_S):
                self._stall(store)

    def _refuse_where_full(self) -> None:
        """Let nobody wait for a majority of drives that have no room."""
        before = monotonic() - FULL_S
        full = {s.replica for s in self.stores if (s.full_since or before) < before}
        if not (full or self._unnamed or self._stuck):
            return
        stuck = with_majority_in(self._voters, full).union(filter(self._is_unled, self._unnamed))
        if stuck != self._stuck:
            _log.warning("replicas_full", drives=sorted(full), partitions=len(stuck))
        self._stuck = stuck
        for store in self.stores:
            store.stuck = stuck
            if any(self._serving.get(partition) is store for partition in stuck):
                store.fail_waiting(since=before)

    def _is_unled(self, partition: PartitionId) -> bool:
        store = self._serving.get(partition)
        return store is None or not store.is_usable

    def _stall(self, store: ReplicaStore) -> None:
        """Let a store lead nothing for a while: an operation of its drive takes too long."""
        now = monotonic()
        if now >= self._suspect_until.get(store.replica, 0.0):
            _log.warning("replica_store_stalled", drive=store.replica)
        self._suspect_until[store.replica] = now + SUSPECT_S
        self._stop_serving(p for p, at in list(self._serving.items()) if at is store)
        store.fail_waiting()

    def _usable(self) -> set[ReplicaId]:
        now = monotonic()
        return {
            store.replica
            for store in self.stores
            if store.is_usable and now >= self._suspect_until.get(store.replica, 0.0)
        }

    def _answering(self) -> set[ReplicaId]:
        """Return the stores that do not stall at the moment, whatever they did before: better than nobody."""
        now = monotonic()
        return {
            store.replica
            for store in self.stores
            if store.is_usable
            and store not in self._hanging
            and ((since := store.busy_since) is None or now - since <= STALLED_S)
        }

    def _missing_leaders(self) -> dict[PartitionId, ReplicaId]:
        """Choose leaders for the partitions whose leader is not usable, or did not begin to serve in time."""
        usable, answering, now = self._usable(), self._answering(), monotonic()
        full = {store.replica for store in self.stores if store.is_full}
        leading = {store.replica for store in self._serving.values()}
        is_settled = len(self._serving) == len(self._voters) and leading <= usable
        if is_settled and not self._trust.has_doubts:
            return {}
        load: dict[ReplicaId, int] = {}
        missing = []
        for partition, membership in sorted(self._voters.items()):
            leader = self._names[partition].leader
            trusted = self._trust.eligible(partition, membership.voters, usable, answering)
            is_late = (
                partition not in self._serving
                and now - self._named_at.get(partition, 0.0) > TAKEOVER_S
            )
            may_stay = leader in full and len(full & set(membership.voters)) * 2 > len(
                membership.voters
            )
            if (leader in trusted and not is_late) or (may_stay and partition in self._serving):
                load[leader] = load.get(leader, 0) + 1
            elif membership.voters:
                missing.append(partition)
        chosen = {}
        for partition in missing:
            voters = self._voters[partition].voters
            found = choose_leader(
                voters,
                load,
                usable=self._trust.eligible(partition, voters, usable, answering),
                wanted=self._wanted.get(partition, ()),
                not_this=self._names[partition].leader,
            )
            if found is not None:
                chosen[partition] = found
                load[found] = load.get(found, 0) + 1
        return chosen

    async def _name_where_room_is(self, leaders: Mapping[PartitionId, ReplicaId]) -> None:
        try:
            await self._name(leaders)
        except StorageFull:
            self._unnamed = frozenset(leaders)
            self._refuse_where_full()
            raise
        self._unnamed = frozenset()

    async def _name(self, leaders: Mapping[PartitionId, ReplicaId]) -> None:
        """Stop serving, hand out epochs, then tell: the order that reads rely on."""
        async with self._naming:
            served = {p: self._serving[p] for p in leaders if p in self._serving}
            self._stop_serving(leaders)
            try:
                fresh = await self._names.name(leaders, above=self._spent)
            except StorageFull:
                self._go_on_serving(served)
                raise
            now = monotonic()
            for partition, name in fresh.items():
                self._named_at[partition] = now
                for replica, store in self._stores.items():
                    if replica == name.leader:
                        store.post(Lead(partition, name.epoch))
                    elif store.is_usable:
                        store.post(Told(partition, name.epoch, name.leader))

    def _go_on_serving(self, served: Mapping[PartitionId, ReplicaStore]) -> None:
        """Nobody was named, and nobody was told: who led still does, and can at least be read."""
        for partition, store in served.items():
            is_leader = self._spent.get(partition, 0) < self._names[partition].epoch
            is_well = store.failure is None and self._trust.votes(store.replica, partition)
            if is_leader and is_well and self._stores.get(store.replica) is store:
                self._serving[partition] = store
                self._show(partition, store)

    # --- members

    async def _align(self) -> None:
        """Take steps towards the wanted members; a leader that is not wanted gives way when the others are there."""
        usable = self._usable()
        under_way = 0
        moves: dict[PartitionId, ReplicaId] = {}
        for partition in self.unaligned():
            wanted, leader = self._wanted[partition], self._names[partition].leader
            if partition not in self._serving or not usable.issuperset(wanted):
                continue
            voters = self._voters[partition].voters
            better = [replica for replica in wanted if replica in voters]
            if leader not in wanted and len(better) == len(wanted):
                moves[partition] = better[partition % len(better)]
            else:
                self._stores[leader].post(Align(partition, wanted))
            under_way += 1
            if under_way == ALIGNED_AT_ONCE:
                break
        if moves:
            await self._name(moves)

    async def _level(self) -> None:
        """Let drives lead evenly again, once everything else is in order."""
        well = self._usable()
        now = monotonic()
        self.balance.observe(well - self._low, now)
        handed_over, self._handed_over = self._handed_over, {}
        ready = {p: to for p, to in handed_over.items() if p in self._serving and to in well}
        if ready:
            await self._name(ready)
        is_in_order = len(self._serving) == len(self._voters) and not self._trust.has_doubts
        if not is_in_order or not self.balance.is_due(now) or self.unaligned():
            return
        leaders = {partition: store.replica for partition, store in self._serving.items()}
        voters = {partition: members.voters for partition, members in self._voters.items()}
        for partition, target in self.balance.moves(leaders, voters, now).items():
            self._serving[partition].post(HandOver(partition, target))


def _ignore(_partition: PartitionId, _store: ReplicaStore | None) -> None:
    """Stand in for somebody to show it to."""


def _partition(item: tuple[PartitionId, object]) -> PartitionId:
    return item[0]

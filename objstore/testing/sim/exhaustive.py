"""Every schedule of a small scope: three replicas, two namings, two clients with two operations each, one crash at most.

Breadth first over the states that the real cores can reach. The network is the set of messages that were sent, and
each of them may be delivered at any time, any number of times, or never: so loss, doubling and reordering need no steps
of their own, and are not bounded. A crash loses a Ready before it is persisted, or
after it and before it is sent.

A state is expanded once: states are told apart by a fingerprint of everything that decides what can follow. Checked in
every state: one leader per epoch, one content per (epoch, index), one committed history, committed entries durable on a
majority, reads at least as new as what was acknowledged when they were asked. Timers stay off: what is sent again is
covered by messages that may be delivered twice, and no promise of safety rests on time.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Hashable, Iterator
from typing import NamedTuple

import msgspec

from objstore.consensus import (
    Entry,
    Epoch,
    HardState,
    LogConfig,
    LogState,
    Message,
    PartitionLog,
    Ready,
    ReplicaId,
    Role,
)
from objstore.consensus.messages import AppendReply, EpochRefused, FetchReply, PromiseReply
from objstore.model.errors import InvariantError
from objstore.model.instant import Instant
from objstore.testing.sim.checkers import Violation

__all__ = ["Scope", "Searched", "search"]

NOW = Instant(0)
REPLICAS = tuple(ReplicaId(name) for name in "abc")


class Scope(msgspec.Struct, frozen=True):
    """What may happen, and how often."""

    namings: tuple[tuple[int, int], ...] = ((0, 1), (1, 2))
    """Replica and epoch; each may happen once, at any time."""
    writes: tuple[int, ...] = (0, 1)
    """The replica that each write is proposed to, at any time while it leads."""
    reads: tuple[int, ...] = (0, 1)
    crashes: int = 1


class Searched(msgspec.Struct, frozen=True):
    """What the search amounted to."""

    states: int
    steps: int
    is_complete: bool
    """Every reachable state was seen; else the bound on states was reached first."""
    acknowledged: int
    """Highest index that was acknowledged in any state."""
    reads: int
    """Reads that were answered, over all steps."""


class _Store(NamedTuple):
    """One replica: its core, what is durable, and its fingerprint."""

    core: PartitionLog
    hard_state: HardState
    entries: tuple[Entry, ...]
    applied: int
    mark: Hashable


class _State(NamedTuple):
    stores: tuple[_Store, ...]
    network: frozenset[int]
    """Numbers of the messages that were sent and can still change anything."""
    namings: int
    """Bits of those that have happened; the same for writes and reads."""
    writes: int
    reads: int
    crashes: int
    acknowledged: int
    """Highest index whose proposer knows that it is committed."""
    waiting: tuple[tuple[int, int, int], ...]
    """Proposals that wait: replica, epoch, index."""

    @property
    def mark(self) -> Hashable:
        """Return what decides what can follow, and nothing else."""
        return tuple(store.mark for store in self.stores), self.network, self[2:]


def search(
    scope: Scope, kind: type[PartitionLog] = PartitionLog, *, states_max: int = 1_000_000
) -> Searched:
    """Visit every reachable state; raise `Violation` or `InvariantError` at the first that breaks a rule."""
    walk = _Walk(scope, kind)
    first = walk.first()
    seen = {first.mark}
    queue = deque([first])
    steps = 0
    while queue and len(seen) < states_max:
        for state in walk.after(queue.popleft()):
            steps += 1
            mark = state.mark
            if mark not in seen:
                seen.add(mark)
                queue.append(state)
    return Searched(len(seen), steps, not queue, walk.acknowledged, walk.reads)


class _Walk:
    """The steps of a scope, and what they have shown so far."""

    def __init__(self, scope: Scope, kind: type[PartitionLog]) -> None:
        self.scope, self.kind = scope, kind
        self.leaders: dict[int, ReplicaId] = {}
        self.acknowledged = 0
        self.reads = 0
        self.messages: list[Message] = []
        self.numbers: dict[Message, int] = {}
        """Equal messages have one number: a doubled one is the same thing twice."""

    def first(self) -> _State:
        state = LogState.founding(*REPLICAS)
        stores = []
        for name in REPLICAS:
            core = self.kind(LogConfig(replica=name, resend_ms=1), state)
            stores.append(_marked(core, state.hard_state, (), 0))
        return _State(tuple(stores), frozenset(), 0, 0, 0, 0, 0, ())

    def after(self, state: _State) -> Iterator[_State]:
        """Yield every state that one step leads to."""
        yield from self._deliveries(state)
        yield from self._namings(state)
        yield from self._writes(state)
        yield from self._reads(state)
        if state.crashes < self.scope.crashes:
            for place in range(len(REPLICAS)):
                yield self._restarted(state, place)

    def _deliveries(self, state: _State) -> Iterator[_State]:
        for number in state.network:
            message = self.messages[number]
            place = REPLICAS.index(message.target)
            if _matters(message, state.stores[place].core):
                yield from self._deliver(state, place, message)

    def _deliver(self, state: _State, place: int, message: Message) -> Iterator[_State]:
        core = _clone(state.stores[place].core)
        core.receive(message, NOW)
        yield from self._driven(state, place, core)

    def _namings(self, state: _State) -> Iterator[_State]:
        for number, (place, epoch) in enumerate(self.scope.namings):
            if not state.namings >> number & 1:
                core = _clone(state.stores[place].core)
                core.become_leader(Epoch(epoch), NOW)
                named = state._replace(namings=state.namings | 1 << number)
                yield from self._driven(named, place, core)

    def _writes(self, state: _State) -> Iterator[_State]:
        for number, place in enumerate(self.scope.writes):
            store = state.stores[place]
            if state.writes >> number & 1 or store.core.role is not Role.LEADER:
                continue
            core = _clone(store.core)
            index = core.propose([b"w%d" % number], NOW)
            if isinstance(index, int):
                waiting = (*state.waiting, (place, int(core.epoch), index))
                written = state._replace(writes=state.writes | 1 << number, waiting=waiting)
                yield from self._driven(written, place, core)

    def _reads(self, state: _State) -> Iterator[_State]:
        for number, place in enumerate(self.scope.reads):
            store = state.stores[place]
            if state.reads >> number & 1 or store.core.role is not Role.LEADER:
                continue
            core = _clone(store.core)
            if core.request_read(state.acknowledged, NOW) is None:
                asked = state._replace(reads=state.reads | 1 << number)
                yield from self._driven(asked, place, core)

    # --- the driver -----------------------------------------------------------------------------------

    def _driven(self, state: _State, place: int, core: PartitionLog) -> Iterator[_State]:
        """Drive to the end; with a crash left, also die before and after persisting the first Ready."""
        if state.crashes < self.scope.crashes and core.has_ready:
            store = state.stores[place]
            ready = _clone(core).take_ready()
            if ready.must_persist:
                hard_state, entries = _persisted(store, ready)
                died = store._replace(hard_state=hard_state, entries=entries)
                stores = _replaced(state.stores, place, died)
                yield self._restarted(state._replace(stores=stores), place)
        yield self._finished(state, place, core)

    def _finished(self, state: _State, place: int, core: PartitionLog) -> _State:
        store = state.stores[place]
        while core.has_ready:
            ready = core.take_ready()
            self._check_leader(core)
            hard_state, entries = _persisted(store, ready)
            store = store._replace(hard_state=hard_state, entries=entries)
            state = state._replace(stores=_replaced(state.stores, place, store))
            state, store = self._acted(state, place, store, ready)
            core.advance(ready)
        done = _marked(core, store.hard_state, store.entries, store.applied)
        stores = _replaced(state.stores, place, done)
        network = frozenset(
            number
            for number in state.network
            if self.messages[number].target != done.core.replica
            or _matters(self.messages[number], core)
        )
        return state._replace(stores=stores, network=network)

    def _acted(
        self, state: _State, place: int, store: _Store, ready: Ready
    ) -> tuple[_State, _Store]:
        """Send, apply and answer what a Ready holds."""
        sent = frozenset(map(self._number, ready.messages))
        waiting, acknowledged = list(state.waiting), state.acknowledged
        for entry in ready.committed:
            self._check_committed(state, entry)
            store = store._replace(applied=entry.index)
            if (place, entry.epoch, entry.index) in waiting:
                waiting.remove((place, entry.epoch, entry.index))
                acknowledged = max(acknowledged, entry.index)
                self.acknowledged = max(self.acknowledged, acknowledged)
        for read in ready.reads:
            self.reads += 1
            if store.applied < read.context:  # type: ignore[operator]
                raise Violation("fresh reads", f"answered at {store.applied}: {read}")
        state = state._replace(
            stores=_replaced(state.stores, place, store),
            network=state.network | sent,
            waiting=tuple(waiting),
            acknowledged=acknowledged,
        )
        return state, store

    def _number(self, message: Message) -> int:
        number = self.numbers.setdefault(message, len(self.messages))
        if number == len(self.messages):
            self.messages.append(message)
        return number

    def _restarted(self, state: _State, place: int) -> _State:
        """Lose what is not durable, and start again from the disk."""
        store = state.stores[place]
        loaded = LogState(
            hard_state=store.hard_state,
            applied=store.applied,
            membership=LogState.founding(*REPLICAS).membership,
            entries=store.entries,
        )
        core = self.kind(store.core.config, loaded)
        fresh = _marked(core, store.hard_state, store.entries, store.applied)
        return state._replace(
            stores=_replaced(state.stores, place, fresh),
            crashes=state.crashes + 1,
            waiting=tuple(waiting for waiting in state.waiting if waiting[0] != place),
        )

    # --- checks ---------------------------------------------------------------------------------------

    def _check_leader(self, core: PartitionLog) -> None:
        if core.role is Role.LEADER:
            first = self.leaders.setdefault(core.epoch, core.replica)
            if first != core.replica:
                raise Violation("one leader", f"epoch {core.epoch}: {first}, {core.replica}")

    def _check_committed(self, state: _State, entry: Entry) -> None:
        """What is applied is durable on a majority, and nobody has applied anything else there."""
        holders = 0
        for store in state.stores:
            held = store.entries[entry.index - 1] if entry.index <= len(store.entries) else None
            holders += held == entry
            if store.applied >= entry.index and held != entry:
                raise Violation("committed", f"{held} and {entry} are both applied")
        if holders * 2 <= len(REPLICAS):
            raise Violation("durable", f"{entry} is applied and durable on {holders}")


def _replaced(stores: tuple[_Store, ...], place: int, store: _Store) -> tuple[_Store, ...]:
    return (*stores[:place], store, *stores[place + 1 :])


def _persisted(store: _Store, ready: Ready) -> tuple[HardState, tuple[Entry, ...]]:
    entries = store.entries
    if ready.truncate_from:
        entries = entries[: ready.truncate_from - 1]
    if ready.entries:
        if ready.entries[0].index != len(entries) + 1:
            raise InvariantError("entries must be contiguous")
        entries += tuple(ready.entries)
    return ready.hard_state or store.hard_state, entries


# --- copies and fingerprints of a core ----------------------------------------------------------------------


def _clone(core: PartitionLog) -> PartitionLog:
    """Copy a core that has no Ready out, as deep as it is changed by its own methods."""
    twin = copy.copy(core)
    state = twin.__dict__
    for name, value in core.__dict__.items():
        kind = type(value)
        if kind is list or kind is dict or kind is deque:
            state[name] = value.copy()
    log = state["_log"] = copy.copy(core._log)
    log._entries = log._entries.copy()
    state["_progress"] = {peer: copy.copy(at) for peer, at in core._progress.items()}
    state["_handlers"] = {
        message: getattr(twin, handler.__name__) for message, handler in core._handlers.items()
    }
    return twin


def _marked(
    core: PartitionLog, hard_state: HardState, entries: tuple[Entry, ...], applied: int
) -> _Store:
    """Return a store with the fingerprint of everything in it that can matter later."""
    parts = (
        applied,
        len(entries) and tuple((entry.epoch, entry.payload) for entry in entries),
        core._epoch,
        core._leader,
        core._role.value,
        core._commit,
        core._log.last_index,
        core._log.last_epoch,
        *_marks_of_role(core),
    )
    return _Store(core, hard_state, entries, applied, parts)


def _marks_of_role(core: PartitionLog) -> tuple[Hashable, ...]:
    """Return what only a candidate, or only a leader, goes by."""
    if core._role is Role.CANDIDATE:
        return tuple(sorted(core._promises.items())), core._source
    if core._role is Role.FOLLOWER:
        return ()
    return (
        core._durable,
        core._opening_index,
        core._round,
        tuple((number, index, tuple(contexts)) for number, index, contexts in core._rounds),
        tuple(core._reads_waiting),
        tuple(
            (at.state.value, at.match, at.next, at.paused, at.round_acked)
            for at in core._progress.values()
        ),
    )


def _matters(message: Message, target: PartitionLog) -> bool:
    """Tell whether a message can still change anything: epochs and roles only move on."""
    if isinstance(message, PromiseReply | FetchReply):
        return target._role is Role.CANDIDATE and message.epoch == target._epoch
    if isinstance(message, AppendReply):
        return target._role is not Role.FOLLOWER and message.epoch == target._epoch
    if isinstance(message, EpochRefused):
        return target._role is not Role.FOLLOWER and message.epoch > target._epoch
    return True

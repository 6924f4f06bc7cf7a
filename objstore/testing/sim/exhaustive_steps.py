"""What one replica does on one event, run once by the real core and remembered.

A replica is deterministic: what it is and what happens to it decide what it becomes and what it sends. So every pair of
(local state, event) runs the core once, on a copy, through the whole contract of its driver (persist, send, apply,
advance), and every later occurrence is a look-up. A step has several outcomes where the replica may die in the middle:
after a Ready is persisted and sent and before it is applied, and between two Readies. Dying before it is sent shows
nothing else, because a message that was sent may be lost as well; nor does dying before it is persisted, because that
is a crash instead of the event, or dying after the last step, because that is a crash after it.

Local states are told apart by everything that the core holds but `_ALWAYS_SKIPPED`, what only the other roles go by,
and, where no timer fires, what only decides when and what is sent again. An attribute that the core gains counts.
"""

from __future__ import annotations

import copy
import types
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from objstore.consensus import (
    ChangeKind,
    Entry,
    Epoch,
    HardState,
    LogConfig,
    LogState,
    Membership,
    MembershipChange,
    Message,
    PartitionLog,
    Ready,
    ReplicaId,
    Role,
    decode_membership,
)
from objstore.consensus.messages import AppendReply, EntryKind
from objstore.model.errors import check
from objstore.model.instant import Instant
from objstore.testing.sim.checkers import Violation

__all__ = ["REPLICAS", "Event", "Local", "Outcome", "Sent", "Steps", "View"]

REPLICAS = tuple(ReplicaId(name) for name in "abc")
LEARNER = ReplicaId("d")
"""Added by `Event.CHANGED`; nothing ever reaches it."""

_NOW = Instant(0)
_FOUNDING = LogState.founding(*REPLICAS)

Sent = tuple[int, int, int]
"""Bits of the messages to each replica, by the numbers that `Steps.messages` gives them."""


View = tuple[tuple[Entry, ...], int, int]
"""What the rules about several replicas look at: log, apply cursor, and the epoch if it leads."""


class Event(Enum):
    """What may happen to a replica besides the delivery of a message."""

    NAMED = "named"
    """The control store hands it an epoch: the argument."""
    PROPOSED = "proposed"
    ASKED = "asked"
    """A read is asked for; the argument is the highest index that anybody has applied by now."""
    CHANGED = "changed"
    """A learner is added to the membership."""
    TICKED = "ticked"
    """Its timer is due, if it has one."""
    CRASHED = "crashed"


class Outcome(NamedTuple):
    """One way in which a step can end."""

    local: int
    sent: Sent
    crashes: int


class Local:
    """One state of one replica, with everything that it did hold and wrote."""

    __slots__ = (
        "applied",
        "arrivals",
        "core",
        "entries",
        "epoch",
        "leads",
        "normal",
        "number",
        "place",
        "view",
    )

    def __init__(self, number: int, core: PartitionLog, entries: tuple[Entry, ...]) -> None:
        self.number = number
        self.core = core
        self.place = REPLICAS.index(core.replica)
        self.entries = entries
        self.applied = core.applied_index
        self.epoch = core.epoch
        self.leads = core.role is Role.LEADER
        self.view = 0
        """Number of its `View`."""
        self.arrivals: dict[int, tuple[Outcome, ...]] = {}
        """What became of messages, by number."""
        self.normal: dict[int, int] = {}
        """Messages that are the same as others here, by number."""


class Steps:
    """The table of steps, filled on demand."""

    def __init__(self, kind: type[PartitionLog], *, crashes: bool, ticks: bool) -> None:
        self.locals: list[Local] = []
        self.messages: tuple[list[Message], ...] = tuple([] for _ in REPLICAS)
        """What was ever sent to each replica; equal messages have one number."""
        self.views: list[View] = []
        self.runs = 0
        """How often the core ran."""
        self.reads = 0
        """Runs in which a read was answered."""
        self.ticks = ticks
        self._kind = kind
        self._crashes = crashes
        self._marks: dict[Hashable, int] = {}
        self._views: dict[View, int] = {}
        self._numbers: dict[Message, int] = {}
        self._known: dict[tuple[int, Event, int], tuple[Outcome, ...]] = {}

    def first(self, place: int) -> int:
        """Return the state of a founding member."""
        core = self._kind(LogConfig(replica=REPLICAS[place], resend_ms=1), _FOUNDING)
        return self._local(core, ())

    def happen(self, local: int, event: Event, argument: int = 0) -> tuple[Outcome, ...]:
        """Return the outcomes of an event; none where it cannot happen."""
        key = (local, event, argument)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._happen(self.locals[local], event, argument)
        return known

    def arrive(self, local: Local, number: int) -> tuple[Outcome, ...]:
        """Return the outcomes of the delivery of a message."""
        known = local.arrivals.get(number)
        if known is None:
            core = _copied_core(local.core)
            core.receive(self.messages[local.place][number], _NOW)
            known = local.arrivals[number] = self._driven(local, core)
        return known

    def number_of(self, message: Message) -> int:
        """Return the number of a message among those to its target."""
        if not self.ticks and type(message) is AppendReply and message.commit:
            message = msgspec.structs.replace(message, commit=0)  # decides what a timer sends
        number = self._numbers.get(message)
        if number is None:
            known = self.messages[REPLICAS.index(message.target)]
            number = self._numbers[message] = len(known)
            known.append(message)
        return number

    # --- events ---------------------------------------------------------------------------------------

    def _happen(self, local: Local, event: Event, argument: int) -> tuple[Outcome, ...]:
        if event is Event.CRASHED:
            return (self._restarted(local, _durable(local), local.applied, [0, 0, 0]),)
        core = _copied_core(local.core)
        return self._driven(local, core) if _EVENTS[event](core, argument) else ()

    # --- the driver -----------------------------------------------------------------------------------

    def _driven(self, local: Local, core: PartitionLog) -> tuple[Outcome, ...]:
        """Drive until nothing is left to do; on the way, die wherever that makes a difference."""
        self.runs += 1
        durable, applied = _durable(local), local.applied
        sent, outcomes = [0, 0, 0], []
        while core.has_ready:
            ready = core.take_ready()
            durable = _persisted(durable, ready)
            self._send(ready, sent)
            if self._crashes and ready.committed:
                outcomes.append(self._restarted(local, durable, applied, sent))
            applied = self._applied(ready, durable[1], applied)
            core.advance(ready)
            if self._crashes and core.has_ready:
                outcomes.append(self._restarted(local, durable, applied, sent))
        if not self.ticks:
            _rebase_rounds(core)
        outcomes.append(Outcome(self._local(core, durable[1]), _sent(sent), 0))
        return tuple(dict.fromkeys(outcomes))

    def _restarted(
        self, local: Local, durable: _Durable, applied: int, sent: Sequence[int]
    ) -> Outcome:
        """Lose what is not durable, start again from the disk, and apply what is known to be committed."""
        hard_state, entries = durable
        loaded = LogState(
            hard_state=hard_state,
            applied=applied,
            membership=_membership_at(entries, applied),
            entries=entries,
        )
        core = self._kind(local.core.config, loaded)
        after = list(sent)
        while core.has_ready:
            ready = core.take_ready()
            check(not ready.must_persist, "a restart has nothing to persist")
            self._send(ready, after)
            applied = self._applied(ready, entries, applied)
            core.advance(ready)
        return Outcome(self._local(core, entries), _sent(after), 1)

    def _send(self, ready: Ready, sent: list[int]) -> None:
        for message in ready.messages:
            if message.target in REPLICAS:
                sent[REPLICAS.index(message.target)] |= 1 << self.number_of(message)

    def _applied(self, ready: Ready, entries: tuple[Entry, ...], applied: int) -> int:
        """Apply and answer; what is applied must be durable here and follow without a gap."""
        for entry in ready.committed:
            if entry.index != applied + 1 or entries[applied : applied + 1] != (entry,):
                raise Violation("durable", f"{entry} is applied after {applied}, and not durable")
            applied += 1
        for read in ready.reads:
            self.reads += 1
            if read.index < read.context:  # type: ignore[operator]
                raise Violation("fresh reads", f"{read.context} was applied, answered by {read}")
        return applied

    def _local(self, core: PartitionLog, entries: tuple[Entry, ...]) -> int:
        mark = _mark(core, ticks=self.ticks)
        number = self._marks.get(mark)
        if number is None:
            if core.membership != _membership_at(entries, len(entries)):
                raise Violation("membership in force", f"{core.replica}: {core.membership}")
            number = self._marks[mark] = len(self.locals)
            local = Local(number, core, entries)
            view = (entries, local.applied, local.epoch if local.leads else 0)
            local.view = self._views.setdefault(view, len(self.views))
            if local.view == len(self.views):
                self.views.append(view)
            self.locals.append(local)
        return number


_Durable = tuple[HardState, tuple[Entry, ...]]


def _durable(local: Local) -> _Durable:
    """Return what is on the disk between two steps, where everything that is committed is applied."""
    return HardState(local.core._epoch, local.core._leader), local.entries


def _persisted(durable: _Durable, ready: Ready) -> _Durable:
    hard_state, entries = durable
    if ready.truncate_from:
        entries = entries[: ready.truncate_from - 1]
    if ready.entries:
        check(ready.entries[0].index == len(entries) + 1, "entries must be contiguous")
        entries += tuple(ready.entries)
    return ready.hard_state or hard_state, entries


def _sent(masks: Sequence[int]) -> Sent:
    first, second, third = masks
    return first, second, third


def _membership_at(entries: Sequence[Entry], index: int) -> Membership:
    for entry in reversed(entries[:index]):
        if entry.kind is EntryKind.MEMBERSHIP:
            return decode_membership(entry.payload)
    return _FOUNDING.membership


def _named(core: PartitionLog, epoch: int) -> bool:
    return core.become_leader(Epoch(epoch), _NOW) is None


def _proposed(core: PartitionLog, _: int) -> bool:
    """Payloads are opaque, so that whoever proposes names them well enough: (epoch, index) tells the rest."""
    return isinstance(core.propose([core.replica.encode()], _NOW), int)


def _asked(core: PartitionLog, acknowledged: int) -> bool:
    return core.request_read(acknowledged, _NOW) is None


def _changed(core: PartitionLog, _: int) -> bool:
    change = MembershipChange(ChangeKind.ADD_LEARNER, LEARNER)
    return isinstance(core.propose_change(change, _NOW), int)


def _ticked(core: PartitionLog, _: int) -> bool:
    deadline = core.next_deadline()
    if deadline is not None:
        core.handle_timer(deadline)
    return deadline is not None


_EVENTS: dict[Event, Callable[[PartitionLog, int], bool]] = {
    Event.NAMED: _named,
    Event.PROPOSED: _proposed,
    Event.ASKED: _asked,
    Event.CHANGED: _changed,
    Event.TICKED: _ticked,
}


def _rebase_rounds(core: PartitionLog) -> None:
    """Count read rounds from 0 again when none is open: they are only compared with the open one."""
    if core._role is Role.LEADER and core._round and not (core._rounds or core._reads_waiting):
        core._round = 0
        for progress in core._progress.values():
            progress.round_sent = progress.round_acked = 0


# --- copies and fingerprints of a core ----------------------------------------------------------------------

_ALWAYS_SKIPPED = frozenset(
    {
        "config",
        "_handlers",
        "_inflight_bytes",
        "_soft_state",
        "_hint",
        "_now",
        "_traces",
        "_out",
        "_out_leads",
    }
)
"""Who it is, bounds that no scope reaches, hints for callers, and what is empty between two steps."""
_TIMERS = frozenset({"_resend_at", "_retry_at"})
_OF_TIMERS = _TIMERS | {"commit_known"}
_OF_LEADERS = frozenset({"_durable", "_opening_index"})
_OF_CANDIDATES = frozenset({"_promises", "_source"})
"""Set anew by whoever becomes that."""

_VALUES = (int, str, bytes, type(None), Enum, msgspec.Struct, type)


def _copied_core(core: PartitionLog) -> PartitionLog:
    """Copy a core that has no Ready out, as deep as it is changed by its own methods."""
    twin = copy.copy(core)
    for name in _names(core):
        setattr(twin, name, _copied(getattr(core, name), core, twin))
    return twin


def _copied(value: Any, core: PartitionLog, twin: PartitionLog) -> Any:
    kind = type(value)
    if isinstance(value, _VALUES):
        return value
    if kind in {list, tuple, deque}:
        return kind([_copied(item, core, twin) for item in value])
    if kind is dict:
        return {key: _copied(item, core, twin) for key, item in value.items()}
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, twin)
    copied = copy.copy(value)
    for name in _names(value):
        setattr(copied, name, _copied(getattr(value, name), core, twin))
    return copied


def _names(value: object) -> list[str]:
    """Return the attributes that an object has, wherever it keeps them: in slots, those of its bases too, or in a dict."""
    names = [name for name in _SLOTS[type(value)] if hasattr(value, name)]
    names += getattr(value, "__dict__", ())
    return names


class _SlotsOf(dict[type, tuple[str, ...]]):
    """The slots of each class, with those of its bases, looked up once."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        found: list[str] = []
        for base in reversed(kind.__mro__):
            slots = base.__dict__.get("__slots__", ())
            found += (slots,) if isinstance(slots, str) else slots
        slots_of = tuple(name for name in found if name not in {"__dict__", "__weakref__"})
        self[kind] = slots_of
        return slots_of


_SLOTS = _SlotsOf()


def _mark(core: PartitionLog, *, ticks: bool) -> Hashable:
    """Return everything in a core that can matter later."""
    skipped = _ALWAYS_SKIPPED if ticks else _ALWAYS_SKIPPED | _OF_TIMERS
    if core._role is not Role.LEADER:
        skipped |= _OF_LEADERS
    if core._role is not Role.CANDIDATE:
        skipped |= _OF_CANDIDATES
    return _frozen(core, skipped)


def _frozen(value: Any, skipped: frozenset[str]) -> Hashable:
    kind = type(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, _VALUES):
        return value
    if kind in {list, tuple, deque}:
        return tuple([_frozen(item, skipped) for item in value])
    if kind is dict:
        return tuple([(key, _frozen(item, skipped)) for key, item in value.items()])
    return tuple(
        [
            (getattr(value, name) is None)
            if name in _TIMERS
            else _frozen(getattr(value, name), skipped)
            for name in _names(value)
            if name not in skipped
        ]
    )

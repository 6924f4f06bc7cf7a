"""What one replica does on one event, run once by the real core and remembered.

A replica is deterministic: what it is and what happens to it decide what it becomes and what it sends. So every pair of
(local state, event) runs the core once, on a copy, through the whole contract of its driver (persist, send, apply,
advance), and every later occurrence is a look-up. A step has several outcomes where the replica may die in the middle:
when its append requests have left early and it is not persisted, after a Ready is persisted and sent and before it is
applied, and between two Readies. Dying before it is sent shows nothing else, because a message that was sent may be lost as
well; nor does dying before anything is done, because that is a crash instead of the event, or dying after the last step,
because that is a crash after it.

Local states are told apart by everything that the core holds but `_ALWAYS_SKIPPED`, what only the other roles go by,
and, where no timer fires, what only decides when and what is sent again. An attribute that the core gains counts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple

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
from objstore.consensus.messages import AppendReply, AppendRequest, EntryKind
from objstore.model.errors import check
from objstore.model.instant import Instant
from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.exhaustive_marks import (
    copied_core,
    mark_of,
    mark_of_rest,
    mark_of_role,
)
from objstore.testing.sim.exhaustive_unbounded import appends_of, forget

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
        "has_open_read",
        "leads",
        "normal",
        "number",
        "of_role",
        "place",
        "rest",
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
        self.rest: Hashable = None
        """All of it but its role and its open reads; only told where it is asked for."""
        self.of_role: Hashable = None
        """What its role adds; nothing if it follows."""
        self.has_open_read = bool(core._rounds)
        self.arrivals: dict[int, tuple[Outcome, ...]] = {}
        """What became of messages, by number."""
        self.normal: dict[int, int] = {}
        """Messages that are the same as others here, by number."""

    def permits(self, other: Local) -> bool:
        """Tell whether the other only has less of a role: see `exhaustive_unbounded`."""
        return (
            self.rest == other.rest
            and (self.of_role == other.of_role or other.of_role is None)
            and (self.has_open_read or not other.has_open_read)
        )


class Steps:
    """The table of steps, filled on demand."""

    def __init__(
        self,
        kind: type[PartitionLog],
        *,
        crashes: bool,
        ticks: bool = False,
        is_unbounded: bool = False,
    ) -> None:
        self.locals: list[Local] = []
        self.messages: tuple[list[Message], ...] = tuple([] for _ in REPLICAS)
        """What was ever sent to each replica; equal messages have one number."""
        self.views: list[View] = []
        self.runs = 0
        """How often the core ran."""
        self.reads = 0
        """Runs in which a read was answered."""
        self.ticks = ticks
        self.is_unbounded = is_unbounded
        """Whether only namings, writes and changes are counted: see `exhaustive_unbounded`."""
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
            core = copied_core(local.core)
            core.receive(self.messages[local.place][number], _NOW)
            known = local.arrivals[number] = self._driven(local, core)
        return known

    def stays(self, local: Local, outcome: Outcome) -> bool:
        """Tell whether a step makes nothing of a replica that shows, but at most sends something."""
        if outcome.crashes:
            return False
        if outcome.local == local.number:
            return True
        is_less = self.is_unbounded and local.permits(self.locals[outcome.local])
        return is_less and not any(outcome.sent)

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
            outcome = self._restarted(local, _durable(local), local.applied, [0, 0, 0])
            if self.is_unbounded and local.permits(self.locals[outcome.local]):
                return ()
            return (outcome,)
        core = copied_core(local.core)
        return self._driven(local, core) if _EVENTS[event](core, argument) else ()

    # --- the driver -----------------------------------------------------------------------------------

    def _driven(self, local: Local, core: PartitionLog) -> tuple[Outcome, ...]:
        """Drive until nothing is left to do; on the way, die wherever that makes a difference."""
        self.runs += 1
        durable, applied = _durable(local), local.applied
        sent, outcomes = [0, 0, 0], []
        while core.has_ready:
            ready = core.take_ready()
            if self._crashes and ready.entries and ready.may_send_appends_early:
                early = list(sent)
                self._send(core, ready, early, early=True)
                outcomes.append(self._restarted(local, durable, applied, early))
            durable = _persisted(durable, ready)
            self._send(core, ready, sent)
            if self._crashes and ready.committed:
                outcomes.append(self._restarted(local, durable, applied, sent))
            applied = self._applied(ready, durable[1], applied)
            core.advance(ready)
            if self._crashes and core.has_ready:
                outcomes.append(self._restarted(local, durable, applied, sent))
        if self.is_unbounded:
            forget(core)
        elif not self.ticks:
            _rebase_rounds(core)
        outcomes.append(Outcome(self._local(core, durable[1]), _sent(sent), 0))
        if self.is_unbounded:
            outcomes = self._most(local, outcomes)
        return tuple(dict.fromkeys(outcomes))

    def _most(self, local: Local, outcomes: list[Outcome]) -> list[Outcome]:
        """Leave out deaths that show less than living on, or no more than what was before."""
        last = outcomes[-1]
        end, known = self.locals[last.local], []
        for outcome in outcomes[:-1]:
            state = self.locals[outcome.local]
            if not (end.permits(state) or (local.permits(state) and not any(outcome.sent))):
                known.append(outcome)
        return [*known, last]

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
            self._send(core, ready, after)
            applied = self._applied(ready, entries, applied)
            core.advance(ready)
        return Outcome(self._local(core, entries), _sent(after), 1)

    def _send(
        self, core: PartitionLog, ready: Ready, sent: list[int], *, early: bool = False
    ) -> None:
        """Send what is in the Ready; early, only what may leave before it is persisted."""
        messages: Iterable[Message] = ready.messages
        if early:
            messages = [message for message in messages if type(message) is AppendRequest]
        if self.is_unbounded:
            messages = [message for message in messages if type(message) is not AppendRequest]
            if core.role is Role.LEADER:
                messages += appends_of(core, REPLICAS)
        for message in messages:
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
        _rebase_memberships(core)
        mark = mark_of(core, ticks=self.ticks)
        number = self._marks.get(mark)
        if number is None:
            if core.membership != _membership_at(entries, len(entries)):
                raise Violation("membership in force", f"{core.replica}: {core.membership}")
            number = self._marks[mark] = len(self.locals)
            local = Local(number, core, entries)
            view = (entries, local.applied, local.epoch if local.leads else 0)
            if self.is_unbounded:
                local.rest, local.of_role = mark_of_rest(core), mark_of_role(core)
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


def _rebase_memberships(core: PartitionLog) -> None:
    """Let the oldest membership count from the beginning: since when it is in force decides nothing once that is applied."""
    core._memberships[0] = (0, core._memberships[0][1])


def _rebase_rounds(core: PartitionLog) -> None:
    """Count read rounds from 0 again when none is open: they are only compared with the open one."""
    if core._role is Role.LEADER and core._round and not (core._rounds or core._reads_waiting):
        core._round = 0
        for progress in core._progress.values():
            progress.round_sent = progress.round_acked = 0

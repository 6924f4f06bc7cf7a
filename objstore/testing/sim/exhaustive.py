"""Every schedule of a small scope: three replicas, a few namings, writes and reads, crashes at most as many as told.

**What may happen.** Any event at any time: the naming of a replica, each once; a write or a read asked of whoever
leads; the delivery of any message that was sent, any number of times or never, in any order, so that loss, doubling and
reordering need no steps of their own and are not bounded; a crash of anybody, also between the steps of its driver, of
which the restart follows at once; where the scope has ticks, a timer that is due. Operations are not tied to clients: two
writes and two reads that anybody may ask at any time contain what two clients with two operations each can do
in any order of a write and a read.

In an *unbounded* scope reads, crashes, timers and late namings are not counted at all, which leaves less to tell apart
(`exhaustive_unbounded`). So with four writes it holds whatever two clients with two operations each can do.

**What is checked**, in every state: `exhaustive_rules`; in every step: what is applied is durable and follows without
a gap, the membership in force is that of the log, a read is at least as new as what anybody had applied when it was asked
(more than what was acknowledged), and nothing that the core itself calls impossible.

**Why it ends.** No visited state is left out but for these reasons:

1. *A step is remembered* (`exhaustive_steps`): a replica is deterministic, so each runs once.
2. *Messages that nobody can tell apart are one, those without effect are none* (`exhaustive_inbox`, five rules).
3. *More may happen where more is there.* What is left of the scope (namings, operations, crashes) and the messages that may
   be delivered only ever permit. Of two states with the same local states, one of which has all messages and all that is
   left that the other has, the other shows nothing more: whatever follows from it follows from the first, through the same
   local states, which is all that the checks look at. Only the maximal ones of each triple of local states are kept.
   So a crash that changes nothing, or an operation without a trace, costs nothing.
4. *Names carry no meaning.* Writes are told apart by who proposed them and by their place; clients by nothing. Replicas
   are alike until they are named, so that scopes whose namings differ by a renaming are one: (a,1)(b,2) and (a,1)(a,2)
   stand for all ways to hand out two epochs.

No digest stands for a state: states are compared whole.

**What is not in it**: snapshots and compaction, a promotion or removal of a member, several proposals in one Ready,
messages that arrive while a Ready is out. Random schedules have all of these.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from objstore.consensus import PartitionLog
from objstore.consensus.describe import describe_log
from objstore.model.errors import InvariantError
from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.exhaustive_inbox import Sites, Triple
from objstore.testing.sim.exhaustive_rules import check_together
from objstore.testing.sim.exhaustive_steps import REPLICAS, Event, Outcome, Steps, View

__all__ = ["Scope", "Search", "Searched", "search"]


class Scope(msgspec.Struct, frozen=True):
    """What may happen, and how often."""

    namings: tuple[tuple[int, int], ...] = ((0, 1), (1, 2))
    """Replica and epoch; each may happen once, at any time."""
    writes: int = 2
    reads: int = 2
    crashes: int = 1
    ticks: int = 0
    """How often a timer fires, whoever's."""
    changes: int = 0
    """How often a learner that hears nothing is added to the membership."""
    is_unbounded: bool = False
    """Reads, crashes, timers and late namings are as many as anybody likes, whatever is said above."""


class Searched(msgspec.Struct, frozen=True):
    """What the search amounted to."""

    states: int
    """States that were expanded; those that turn out not to be maximal count as well."""
    steps: int
    triples: int
    """Different local states of the three replicas together."""
    is_complete: bool
    """Every reachable state was seen, or one that may do all that it may; else a bound was reached first."""
    applied: int
    """Highest index that was applied in any state."""
    reads: int
    """Different steps in which a read was answered."""
    runs: int
    """How often the core ran."""


def search(
    scope: Scope, kind: type[PartitionLog] = PartitionLog, *, states_max: int = 1_000_000
) -> Searched:
    """Visit every reachable state; raise `Violation` or `InvariantError` at the first that breaks a rule."""
    walk = Search(scope, kind)
    walk.run(states_max)
    return walk.searched


_State = tuple[Triple, int]
"""Sites, and what is left of the scope: bits, as they are spent from the highest of each kind."""


class Search:
    """One walk through a scope, deepest first."""

    def __init__(self, scope: Scope, kind: type[PartitionLog] = PartitionLog) -> None:
        self._scope = scope
        self._steps = Steps(
            kind,
            crashes=scope.crashes > 0 or scope.is_unbounded,
            ticks=scope.ticks > 0 and not scope.is_unbounded,
            is_unbounded=scope.is_unbounded,
        )
        self._sites = Sites(self._steps, max(epoch for _, epoch in scope.namings))
        self._best: dict[Triple, list[_State]] = {}
        """The maximal states of each triple of local states."""
        self._open: list[_State] = []
        self._checked: set[Triple] = set()
        self._count = self._moves = self._applied = 0
        self._left = _Left(scope)

    @property
    def searched(self) -> Searched:
        """What it amounted to so far."""
        return Searched(
            states=self._count,
            steps=self._moves,
            triples=len(self._best),
            is_complete=not self._open,
            applied=self._applied,
            reads=self._steps.reads,
            runs=self._steps.runs,
        )

    def views(self) -> set[tuple[View, ...]]:
        """Return what the rules have looked at, for a comparison with a search that leaves nothing out."""
        views = self._steps.views
        return {tuple(views[number] for number in triple) for triple in self._checked}

    def run(self, states_max: int) -> None:
        """Go on until everything was seen or so many states were; raise what breaks a rule."""
        if not self._best:
            first, second, third = (
                self._sites.at(self._steps.first(place), 0) for place in range(len(REPLICAS))
            )
            self._reach((first, second, third), self._left.all)
        while self._open and self._count < states_max:
            state = self._open.pop()
            if state in self._best[self._locals(state[0])]:
                self._count += 1
                self._expand(state)

    def _expand(self, state: _State) -> None:
        try:
            for place, outcome, left in self._ways(state):
                self._moves += 1
                self._reach(self._sites.after(state[0], place, outcome), left)
        except (Violation, InvariantError) as broken:
            broken.add_note(f"after {self._count} states, one step from\n{self._drawn(state[0])}")
            raise

    def _ways(self, state: _State) -> Iterator[tuple[int, Outcome, int]]:
        """Yield every outcome of everything that may happen: where, what, and what is left then."""
        for place, outcomes, left in self._events(state):
            dying = self._left.without(left, Event.CRASHED)
            for outcome in outcomes:
                if not outcome.crashes:
                    yield place, outcome, left
                elif dying is not None:
                    yield place, outcome, dying

    def _events(self, state: _State) -> Iterator[tuple[int, tuple[Outcome, ...], int]]:
        """Yield what may happen, but that whoever crashes spends a crash is seen to above."""
        sites, left = state
        for place, site in enumerate(sites):
            yield place, self._sites.deliveries[site], left
        now = self._locals(sites)
        for number, (place, epoch) in enumerate(self._scope.namings):
            if left >> number & 1:
                outcomes = self._steps.happen(now[place], Event.NAMED, epoch)
                spent = 0 if self._scope.is_unbounded else 1 << number
                yield place, outcomes, left & ~spent
        applied = max(self._steps.locals[local].applied for local in now)
        for event in (Event.PROPOSED, Event.ASKED, Event.CHANGED, Event.TICKED):
            after = self._left.without(left, event)
            if after is not None:
                argument = applied if event is Event.ASKED else 0
                for place, local in enumerate(now):
                    yield place, self._steps.happen(local, event, argument), after
        if self._left.without(left, Event.CRASHED) is not None:
            for place, local in enumerate(now):
                yield place, self._steps.happen(local, Event.CRASHED), left

    def _locals(self, sites: Triple) -> Triple:
        first, second, third = sites
        local_of = self._sites.local_of
        return local_of[first], local_of[second], local_of[third]

    # --- the states that are kept ---------------------------------------------------------------------

    def _reach(self, sites: Triple, left: int) -> None:
        """Keep a state to be expanded, unless one is known that may do all that it may."""
        key = self._locals(sites)
        state = (sites, left)
        known = self._best.get(key)
        if known is None:
            self._check(key)
            self._best[key] = [state]
        elif state in known or any(self._permits(other, state) for other in known):
            return
        else:
            known[:] = [other for other in known if not self._permits(state, other)]
            known.append(state)
        self._open.append(state)

    def _permits(self, more: _State, less: _State) -> bool:
        inbox_of = self._sites.inbox_of
        (a, b, c), (d, e, f) = less[0], more[0]
        return not (
            less[1] & ~more[1]
            or inbox_of[a] & ~inbox_of[d]
            or inbox_of[b] & ~inbox_of[e]
            or inbox_of[c] & ~inbox_of[f]
        )

    def _check(self, key: Triple) -> None:
        first, second, third = (self._steps.locals[local] for local in key)
        views = (first.view, second.view, third.view)
        if views not in self._checked:
            self._checked.add(views)
            self._applied = max(self._applied, first.applied, second.applied, third.applied)
            check_together((first, second, third))

    def _drawn(self, sites: Triple) -> str:
        return "\n".join(
            describe_log(self._steps.locals[local].core) for local in self._locals(sites)
        )


_UNCOUNTED = frozenset({Event.NAMED, Event.ASKED, Event.TICKED, Event.CRASHED})
"""In an unbounded scope."""


class _Left:
    """Bits for what is left of a scope: one for each naming, and as many for each kind of event as may happen."""

    def __init__(self, scope: Scope) -> None:
        self._masks: dict[Event, int] = {}
        self._always = _UNCOUNTED if scope.is_unbounded else frozenset()
        at = len(scope.namings)
        for event, count in (
            (Event.PROPOSED, scope.writes),
            (Event.ASKED, scope.reads),
            (Event.CHANGED, scope.changes),
            (Event.TICKED, scope.ticks),
            (Event.CRASHED, scope.crashes),
        ):
            bits = 0 if event in self._always else count
            self._masks[event] = ((1 << bits) - 1) << at
            at += bits
        self.all = (1 << at) - 1

    def without(self, left: int, event: Event) -> int | None:
        """Return what is left after the event; nothing if it may not happen any more."""
        if event in self._always:
            return left
        bits = left & self._masks[event]
        return left & ~(1 << (bits.bit_length() - 1)) if bits else None

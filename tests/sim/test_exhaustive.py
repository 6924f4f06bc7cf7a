"""Every schedule of a small scope: what random schedules may miss cannot hide in here."""

from __future__ import annotations

import os
import random
from collections import deque
from itertools import permutations, product

import pytest

from objstore.consensus import Entry, HardState, LogConfig, LogState, PartitionLog, Role
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    Epoch,
    EpochRefused,
    PromiseReply,
    PromiseRequest,
)
from objstore.model.errors import InvariantError
from objstore.model.instant import Instant
from objstore.testing.mutants import MUTANTS
from objstore.testing.sim.checkers import Violation
from objstore.testing.sim.exhaustive import Scope, Search, search
from objstore.testing.sim.exhaustive_inbox import Sites
from objstore.testing.sim.exhaustive_marks import copied_core, frozen
from objstore.testing.sim.exhaustive_rules import check_together
from objstore.testing.sim.exhaustive_steps import REPLICAS, Event, Local, Steps
from objstore.testing.sim.exhaustive_unbounded import appends_of, forget, plainest

ONE = ((0, 1),)
TWO = ((0, 1), (1, 2))
SAME = ((0, 1), (0, 2))
BACK = ((0, 1), (2, 2), (0, 3))
THREE = ((0, 1), (1, 2), (2, 3))
TWICE = ((0, 1), (1, 1))

SMALL = {
    "one leader": Scope(ONE, writes=1, reads=1, crashes=1),
    "two leaders, a write, a crash": Scope(TWO, writes=1, reads=0, crashes=1),
    "two leaders, a read": Scope(TWO, writes=0, reads=1, crashes=0),
    "one replica twice": Scope(SAME, writes=1, reads=0, crashes=1),
    "back to the first of three": Scope(BACK, writes=0, reads=0, crashes=0),
    "a timer": Scope(TWO, writes=0, reads=0, crashes=1, ticks=1),
    "a change of the membership": Scope(TWO, writes=0, reads=0, crashes=0, changes=1),
    "an epoch that is handed out twice": Scope(TWICE, writes=1, reads=0, crashes=1),
}
LARGE = {
    "two leaders, two writes, a crash": Scope(TWO, writes=2, reads=0, crashes=1),
    "one replica twice, two writes, a crash": Scope(SAME, writes=2, reads=0, crashes=1),
    "two leaders, a write, a read, a crash": Scope(TWO, writes=1, reads=1, crashes=1),
    "one replica twice, a write, a read, a crash": Scope(SAME, writes=1, reads=1, crashes=1),
}
UNCOUNTED = {
    "two leaders, a write": Scope(TWO, writes=1, is_unbounded=True),
    "one replica twice, a write": Scope(SAME, writes=1, is_unbounded=True),
    "a change of the membership": Scope(TWO, writes=0, changes=1, is_unbounded=True),
    "an epoch that is handed out twice": Scope(TWICE, writes=2, is_unbounded=True),
}
UNCOUNTED_LARGE = {
    "two leaders, four writes": Scope(TWO, writes=4, is_unbounded=True),
    "one replica twice, four writes": Scope(SAME, writes=4, is_unbounded=True),
    "three leaders, a write": Scope(THREE, writes=1, is_unbounded=True),
    "back to the first of three, a write": Scope(BACK, writes=1, is_unbounded=True),
}
"""Of these, the first two are what the project promises: two clients, two operations each, and a crash."""
IS_LARGE = os.environ.get("OBJSTORE_SIM_SCOPES") == "large"
CHOSEN = SMALL | (LARGE if IS_LARGE else {})
CHOSEN_UNCOUNTED = UNCOUNTED | (UNCOUNTED_LARGE if IS_LARGE else {})
COMPARED = [
    (Scope(ONE, writes=1, reads=0, crashes=1), True),
    (Scope(ONE, writes=0, reads=1, crashes=1), True),
]
if IS_LARGE:
    COMPARED.append((Scope(TWO, writes=0, reads=0, crashes=0), False))


@pytest.mark.parametrize("name", CHOSEN)
def test_no_order_of_events_breaks_a_rule(name):
    """Any loss, any doubling, any order, a crash anywhere: every reachable state of the scope is visited."""
    scope = CHOSEN[name]
    searched = search(scope, states_max=10_000_000)
    assert searched.is_complete
    assert searched.applied > scope.writes
    assert (searched.reads > 0) == (scope.reads > 0)


@pytest.mark.parametrize("name", CHOSEN_UNCOUNTED)
def test_no_order_of_any_number_of_reads_crashes_and_timers_breaks_a_rule(name):
    """What two clients and a crash can do is in a scope that counts nothing but writes and epochs."""
    scope = CHOSEN_UNCOUNTED[name]
    searched = search(scope, states_max=100_000_000)
    assert searched.is_complete
    assert searched.applied > scope.writes
    assert searched.reads == 0  # those that could be answered wrongly: the others are not told of


def test_a_search_that_is_cut_short_says_so():
    """A bound that was reached is not taken for the end."""
    searched = search(Scope(), states_max=500)
    assert not searched.is_complete
    assert searched.states == 500


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("leads-without-promises", Scope(TWO, writes=1, reads=0, crashes=1)),
        ("serves-lower-epochs", Scope(TWO, writes=1, reads=0, crashes=1)),
        ("obeys-two-leaders", Scope(TWICE, writes=1, reads=0, crashes=1)),
        ("keeps-its-own-log", Scope(TWO, writes=1, reads=0, crashes=1)),
        ("takes-longest-log", Scope(THREE, writes=1, reads=0, crashes=0)),
        ("renumbers-fetched-entries", Scope(BACK, writes=0, reads=0, crashes=0)),
        ("reads-before-its-no-op", Scope(TWO, writes=0, reads=1, crashes=0)),
        ("appends-anywhere", Scope(BACK, writes=0, reads=0, crashes=0)),
        ("keeps-divergent-tails", Scope(TWO, writes=1, reads=0, crashes=1)),
        ("acknowledges-its-whole-log", Scope(TWO, writes=0, reads=1, crashes=0)),
        ("commits-by-itself", Scope(TWO, writes=1, reads=0, crashes=1)),
        ("commits-older-epochs", Scope(BACK, writes=0, reads=0, crashes=0)),
        ("commits-what-differs", Scope(TWO, writes=1, reads=1, crashes=0)),
        ("reads-without-asking", Scope(TWO, writes=0, reads=1, crashes=0)),
        ("old-answers-confirm-reads", Scope(TWO, writes=0, reads=1, crashes=0)),
        ("keeps-truncated-memberships", Scope(TWO, writes=0, reads=0, crashes=0, changes=1)),
    ],
)
def test_the_search_finds_a_rule_that_is_off(name, scope):
    """The search itself must be able to fail, above all where random schedules rarely do."""
    with pytest.raises((Violation, InvariantError)):
        search(scope, MUTANTS[name].parts.log, states_max=60_000)


BROKEN_UNCOUNTED = [
    ("leads-without-promises", Scope(TWO, writes=1, is_unbounded=True)),
    ("serves-lower-epochs", Scope(TWO, writes=1, is_unbounded=True)),
    ("obeys-two-leaders", Scope(TWICE, writes=1, is_unbounded=True)),
    ("keeps-its-own-log", Scope(TWO, writes=1, is_unbounded=True)),
    ("takes-shortest-log", Scope(TWO, writes=1, is_unbounded=True)),
    ("renumbers-fetched-entries", Scope(TWO, writes=1, is_unbounded=True)),
    ("reads-before-its-no-op", Scope(TWO, writes=1, is_unbounded=True)),
    ("appends-anywhere", Scope(TWO, writes=1, is_unbounded=True)),
    ("keeps-divergent-tails", Scope(TWO, writes=1, is_unbounded=True)),
    ("acknowledges-its-whole-log", Scope(TWO, writes=1, is_unbounded=True)),
    ("commits-by-itself", Scope(TWO, writes=1, is_unbounded=True)),
    ("commits-older-epochs", Scope(BACK, writes=0, is_unbounded=True)),
    ("commits-what-differs", Scope(TWO, writes=1, is_unbounded=True)),
    ("applies-what-is-not-committed", Scope(TWO, writes=1, is_unbounded=True)),
    ("reads-without-asking", Scope(TWO, writes=1, is_unbounded=True)),
    ("old-answers-confirm-reads", Scope(TWO, writes=1, is_unbounded=True)),
    ("followers-answer-reads", Scope(TWO, writes=1, is_unbounded=True)),
    ("keeps-truncated-memberships", Scope(TWO, writes=0, changes=1, is_unbounded=True)),
]
if IS_LARGE:
    BROKEN_UNCOUNTED.append(("takes-longest-log", Scope(THREE, writes=1, is_unbounded=True)))


@pytest.mark.parametrize(("name", "scope"), BROKEN_UNCOUNTED)
def test_a_search_that_counts_little_finds_a_rule_that_is_off(name, scope):
    """What is not told apart must not be what a broken rule would show in."""
    with pytest.raises((Violation, InvariantError)):
        search(scope, MUTANTS[name].parts.log, states_max=60_000)


# --- a search that leaves nothing out -------------------------------------------------------------------------


WHOLE = frozenset({"config"})


class PlainSearch:
    """Breadth first, each message by itself, no state like another, nothing remembered: the dumb twin."""

    def __init__(self, scope):
        self.scope = scope
        self.views = set()
        self.states = 0
        self.marks = {}

    def run(self):
        founding = LogState.founding(*REPLICAS)
        cores = [PartitionLog(LogConfig(replica=name, resend_ms=1), founding) for name in REPLICAS]
        replicas = tuple((core, (), 0, self.mark_of(core)) for core in cores)
        first = (replicas, frozenset(), frozenset(), 0, 0, 0)
        queue, seen = deque([first]), {self.mark(first)}
        while queue:
            state = queue.popleft()
            self.states += 1
            self.views.add(tuple(self.view(*replica[:3]) for replica in state[0]))
            for after in self.after(state):
                mark = self.mark(after)
                if mark not in seen:
                    seen.add(mark)
                    queue.append(after)

    def view(self, core, entries, applied):
        return entries, applied, int(core.epoch) if core.role is Role.LEADER else 0

    def mark(self, state):
        return tuple(replica[3] for replica in state[0]), *state[1:]

    def mark_of(self, core):
        """Tell whole cores apart, by a number that is as good as all that is in them."""
        return self.marks.setdefault(frozen(core, WHOLE), len(self.marks))

    def after(self, state):
        replicas, network, named, writes, reads, crashes = state
        applied = max(replica[2] for replica in replicas)
        for message in network:
            place = REPLICAS.index(message.target)
            yield from self.drive(
                state, place, lambda core, it=message: core.receive(it, Instant(0))
            )
        for place, epoch in set(self.scope.namings) - named:
            counted = (replicas, network, named | {(place, epoch)}, writes, reads, crashes)
            yield from self.drive(
                counted, place, lambda core, it=epoch: core.become_leader(Epoch(it), Instant(0))
            )
        for place, (core, *_) in enumerate(replicas):
            if core.role is Role.LEADER and writes < self.scope.writes:
                counted = (replicas, network, named, writes + 1, reads, crashes)
                payload = REPLICAS[place].encode()
                yield from self.drive(
                    counted, place, lambda core, it=payload: core.propose([it], Instant(0))
                )
            if core.role is Role.LEADER and reads < self.scope.reads:
                counted = (replicas, network, named, writes, reads + 1, crashes)
                yield from self.drive(
                    counted, place, lambda core: core.request_read(applied, Instant(0))
                )
            if crashes < self.scope.crashes:
                hard_state = HardState(core.epoch, core._leader)
                yield self.restarted(state, place, hard_state, *replicas[place][1:3])

    def drive(self, state, place, event):
        core, entries, applied, _ = state[0][place]
        core, hard_state = copied_core(core), HardState(core.epoch, core._leader)
        event(core)
        may_crash = state[5] < self.scope.crashes
        while core.has_ready:
            if may_crash:
                yield self.restarted(state, place, hard_state, entries, applied)
            ready = core.take_ready()
            early = [message for message in ready.messages if isinstance(message, AppendRequest)]
            if may_crash and ready.may_send_appends_early:
                for sent in range(len(early) + 1):
                    some = self.sent(state, early[:sent])
                    yield self.restarted(some, place, hard_state, entries, applied)
            if ready.truncate_from:
                entries = entries[: ready.truncate_from - 1]
            entries += tuple(ready.entries)
            hard_state = ready.hard_state or hard_state
            for sent in range(len(ready.messages) + 1):
                if may_crash:
                    some = self.sent(state, ready.messages[:sent])
                    yield self.restarted(some, place, hard_state, entries, applied)
            state = self.sent(state, ready.messages)
            applied += len(ready.committed)
            core.advance(ready)
        replicas = list(state[0])
        replicas[place] = (core, entries, applied, self.mark_of(core))
        yield (tuple(replicas), *state[1:])

    def sent(self, state, messages):
        return (state[0], state[1] | set(messages), *state[2:])

    def restarted(self, state, place, hard_state, entries, applied):
        loaded = LogState(
            hard_state=hard_state,
            applied=applied,
            membership=LogState.founding(*REPLICAS).membership,
            entries=entries,
        )
        core = PartitionLog(state[0][place][0].config, loaded)
        while core.has_ready:
            ready = core.take_ready()
            applied += len(ready.committed)
            core.advance(ready)
        replicas = list(state[0])
        replicas[place] = (core, entries, applied, self.mark_of(core))
        return (tuple(replicas), *state[1:5], state[5] + 1)


def test_a_remembered_step_is_the_step():
    """The table of steps shows what the cores show that are asked each time anew."""
    scope = Scope(ONE, writes=0, reads=0, crashes=1)
    plain, clever = PlainSearch(scope), Search(scope)
    plain.run()
    clever.run(1_000_000)
    assert clever.searched.is_complete
    assert clever.views() == plain.views
    assert clever.searched.states < plain.states


def messages_in(bits):
    """Return the numbers of the bits."""
    return [number for number in range(bits.bit_length()) if bits >> number & 1]


def whole_views(scope, *, ticks):
    """Search by remembered steps, but tell all messages and states apart; with ticks also what only timers go by."""
    steps = Steps(PartitionLog, crashes=scope.crashes > 0, ticks=ticks)
    first = (tuple(steps.first(place) for place in range(3)), (0, 0, 0), (0, 0, 0, 0))
    seen, queue, views = {first}, [first], set()
    while queue:
        locals_, network, spent = queue.pop()
        replicas = [steps.locals[number] for number in locals_]
        views.add(tuple(steps.views[replica.view] for replica in replicas))
        for place, outcomes, cost in whole_steps(steps, scope, replicas, network, spent):
            for outcome in outcomes:
                after = [*spent[:3], spent[3] + outcome.crashes]
                after = tuple(old + new for old, new in zip(after, cost, strict=True))
                if after[3] > scope.crashes:
                    continue
                sent = tuple(old | new for old, new in zip(network, outcome.sent, strict=True))
                state = ((*locals_[:place], outcome.local, *locals_[place + 1 :]), sent, after)
                if state not in seen:
                    seen.add(state)
                    queue.append(state)
    return views, len(seen)


def whole_steps(steps, scope, replicas, network, spent):
    """Yield what may happen: where, how it ends, and what it costs (namings, writes, reads, crashes)."""
    applied = max(replica.applied for replica in replicas)
    named, writes, reads, _ = spent
    for place, replica in enumerate(replicas):
        for number in messages_in(network[place]):
            yield place, steps.arrive(replica, number), (0, 0, 0, 0)
        for bit, (target, epoch) in enumerate(scope.namings):
            if target == place and not named >> bit & 1:
                yield place, steps.happen(replica.number, Event.NAMED, epoch), (1 << bit, 0, 0, 0)
        if writes < scope.writes:
            yield place, steps.happen(replica.number, Event.PROPOSED), (0, 1, 0, 0)
        if reads < scope.reads:
            yield place, steps.happen(replica.number, Event.ASKED, applied), (0, 0, 1, 0)
        yield place, steps.happen(replica.number, Event.CRASHED), (0, 0, 0, 0)
        if steps.ticks and scope.ticks:
            yield place, steps.happen(replica.number, Event.TICKED), (0, 0, 0, 0)


def with_less_of_a_role(views):
    """Add to each view those in which somebody has stepped down."""
    return {
        tuple((*view[:2], leads) for view, leads in zip(triple, chosen, strict=True))
        for triple in views
        for chosen in product(*({view[2], 0} for view in triple))
    }


def views_of(scope):
    """Return what a search has looked at that has come to its end."""
    walk = Search(scope)
    walk.run(10_000_000)
    assert walk.searched.is_complete
    return walk.views()


@pytest.mark.parametrize(("scope", "ticks"), COMPARED)
def test_what_is_left_out_shows_nothing_new(scope, ticks):
    """The reductions are sound: logs, apply cursors and leaders meet in the same ways as without any."""
    views, states = whole_views(scope, ticks=ticks)
    clever = Search(scope)
    clever.run(1_000_000)
    assert clever.searched.is_complete
    assert clever.views() == views
    assert clever.searched.states * 10 < states
    uncounted = Scope(scope.namings, writes=scope.writes, is_unbounded=True)
    assert views <= with_less_of_a_role(views_of(uncounted))


@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_counted_is_in_what_is_not(name):
    """A scope that counts reads, crashes and timers shows nothing that the unbounded one did not look at."""
    scope = CHOSEN[name]
    unbounded = Scope(scope.namings, writes=scope.writes, changes=scope.changes, is_unbounded=True)
    assert views_of(scope) <= with_less_of_a_role(views_of(unbounded))


@pytest.mark.parametrize("namings", [TWO, SAME])
def test_long_schedules_stay_inside(namings):
    """Schedules with many reads, crashes and timers, by a search without any reduction, show nothing new either."""
    writes = 2 if IS_LARGE else 1
    known = with_less_of_a_role(views_of(Scope(namings, writes=writes, is_unbounded=True)))
    scope = Scope(namings, writes=writes, reads=9, ticks=1)
    steps, chance, seen = Steps(PartitionLog, crashes=True, ticks=True), random.Random(4), set()
    for _ in range(1_000 if IS_LARGE else 25):
        locals_, network, spent = [steps.first(place) for place in range(3)], [0, 0, 0], [0] * 4
        for _ in range(60):
            replicas = [steps.locals[number] for number in locals_]
            seen.add(tuple(steps.views[replica.view] for replica in replicas))
            ways = [
                (place, outcome, cost)
                for place, outcomes, cost in whole_steps(steps, scope, replicas, network, spent)
                for outcome in outcomes
                if outcome.local != locals_[place]
                or any(new & ~old for old, new in zip(network, outcome.sent, strict=True))
            ]
            if not ways:
                break
            weights = [1 if outcome.crashes or cost[0] else 9 for _, outcome, cost in ways]
            place, outcome, cost = chance.choices(ways, weights)[0]
            spent = [old + new for old, new in zip(spent, cost, strict=True)]
            network = [old | new for old, new in zip(network, outcome.sent, strict=True)]
            locals_[place] = outcome.local
    assert seen <= known
    assert len(seen) > 50


# --- its parts ------------------------------------------------------------------------------------------------


def test_a_copy_shares_nothing_that_changes():
    """A step that is tried on a copy must not show in the original."""
    steps = Steps(PartitionLog, crashes=False, ticks=True)
    local = steps.locals[steps.first(0)]
    before = frozen(local.core, WHOLE)
    steps.happen(local.number, Event.NAMED, 1)
    assert frozen(local.core, WHOLE) == before


class Base:
    """Keeps one attribute in a slot."""

    __slots__ = ("kept", "unset")

    def __init__(self):
        self.kept = [1]


class Slotted(Base):
    """Keeps another one in a slot of its own."""

    __slots__ = ("more",)

    def __init__(self):
        super().__init__()
        self.more = {"a": [2]}


class Mixed(Slotted):
    """Has a dict besides, as a subclass that declares nothing."""

    def __init__(self):
        super().__init__()
        self.free = [3]


@pytest.mark.parametrize("kind", [Base, Slotted, Mixed])
def test_a_state_is_taken_whole_wherever_it_is_kept(kind):
    """An attribute that is left out of a mark would merge different states; one that is shared would leak between them."""
    original = kind()
    before = frozen(original, frozenset())
    twin = copied_core(original)
    assert frozen(twin, frozenset()) == before
    twin.kept.append(9)
    assert frozen(original, frozenset()) == before != frozen(twin, frozenset())
    if kind is not Base:
        twin = copied_core(original)
        twin.more["a"].append(9)
        assert frozen(original, frozenset()) == before != frozen(twin, frozenset())
    if kind is Mixed:
        twin = copied_core(original)
        twin.free = [4]
        assert frozen(original, frozenset()) == before != frozen(twin, frozenset())


def test_a_step_runs_once():
    """What is known of a replica is not found out again."""
    steps = Steps(PartitionLog, crashes=True, ticks=False)
    first = steps.first(0)
    outcomes = steps.happen(first, Event.NAMED, 1)
    assert steps.happen(first, Event.NAMED, 1) is outcomes
    assert steps.runs == 1


def test_an_answer_of_an_epoch_that_is_over_is_dropped():
    """Rule 1 of the inbox: a dead message must not keep states apart."""
    steps = Steps(PartitionLog, crashes=False, ticks=False)
    sites = Sites(steps, epoch_max=2)
    (named,) = steps.happen(steps.first(0), Event.NAMED, 1)
    (promised,) = steps.arrive(steps.locals[steps.first(1)], 0)
    assert sites.inbox_of[sites.at(named.local, promised.sent[0])] == promised.sent[0]
    (again,) = steps.happen(named.local, Event.NAMED, 2)
    assert sites.inbox_of[sites.at(again.local, promised.sent[0])] == 0


def test_a_next_leader_that_lacks_what_was_applied_is_told_of():
    """The rules look one naming ahead, so that no scope has to hold the takeover that would show the loss."""
    older, newer = Entry(1, 1, b"old"), Entry(2, 1, b"new")
    with pytest.raises(Violation, match="next leader"):
        check_together((held(0, older, applied=1), held(1, older), held(2, newer)))
    check_together((held(0, older, applied=1), held(1, older), held(2)))


def held(place, *entries, applied=0):
    """Return a replica that holds these entries."""
    name = REPLICAS[place]
    membership = LogState.founding(*REPLICAS).membership
    state = LogState(applied=applied, membership=membership, entries=entries)
    return Local(0, PartitionLog(LogConfig(replica=name), state), entries)


# --- what an unbounded scope does not tell apart ----------------------------------------------------------------


def batches_of(core, target):
    """Return every append that a leader could send with its log and commit index, wherever it probes."""
    entries = core.held_entries()
    bounds = [(0, 0), *((entry.index, entry.epoch) for entry in entries)]
    for commit in range(core.commit_index + 1):
        for first, before in enumerate(bounds):
            for last in range(first, len(bounds)):
                batch = tuple(entries[first:last])
                yield AppendRequest(
                    core.replica, target, core.epoch, *before, commit, round=0, entries=batch
                )


def led_to(steps, local, messages):
    """Return what a replica may become by deliveries of these messages, in any order."""
    numbers, seen, queue = [steps.number_of(message) for message in messages], {local}, [local]
    while queue:
        state = steps.locals[queue.pop()]
        for number in numbers:
            for outcome in steps.arrive(state, number):
                if outcome.local not in seen:
                    seen.add(outcome.local)
                    queue.append(outcome.local)
    return seen


def test_an_append_does_what_its_single_steps_do():
    """A leader in an unbounded scope sends entries and notices only: no append may show what these do not."""
    walk = Search(Scope(TWO, writes=1, is_unbounded=True))
    walk.run(1_000_000)
    steps, compared = walk._steps, 0
    pairs = {pair for triple in walk._best for pair in permutations(triple, 2)}
    for leader, follower in pairs:
        core, place = steps.locals[leader].core, steps.locals[follower].place
        if core.role is not Role.LEADER:
            continue
        target = REPLICAS[place]
        singles = [PromiseRequest(core.replica, target, core.epoch), *appends_of(core, [target])]
        known = [steps.locals[number] for number in led_to(steps, follower, singles)]
        for batch in batches_of(core, target):
            outcomes = steps.arrive(steps.locals[follower], steps.number_of(batch))
            for outcome in outcomes:
                compared += 1
                assert any(local.permits(steps.locals[outcome.local]) for local in known), batch
    assert compared > 1_000


def leader_with_a_read(*, applied_elsewhere):
    """Return a leader that holds its first entry and was asked for a read."""
    core = PartitionLog(LogConfig(replica=REPLICAS[0]), LogState.founding(*REPLICAS))
    core.become_leader(Epoch(1), Instant(0))
    core.advance(core.take_ready())
    core.receive(PromiseReply(REPLICAS[1], REPLICAS[0], Epoch(1), True, 0, 0), Instant(0))
    core.advance(core.take_ready())
    core.request_read(applied_elsewhere, Instant(0))
    core.advance(core.take_ready())
    return core


def test_a_read_counts_where_its_answer_would_be_wrong():
    """A read that is as new as anything that anybody has applied shows nothing, whenever it is answered."""
    harmless = leader_with_a_read(applied_elsewhere=1)
    forget(harmless)
    assert not harmless.has_ready
    assert [message.round for message in appends_of(harmless, REPLICAS)] == [0, 0]
    wrong = leader_with_a_read(applied_elsewhere=2)
    forget(wrong)
    assert [message.round for message in appends_of(wrong, REPLICAS)] == [1, 0, 1, 0]


def test_an_answer_counts_by_what_it_would_commit():
    """Whoever answers first is the majority; what is committed, or another epoch's, is not answered for."""
    core = leader_with_a_read(applied_elsewhere=1)
    forget(core)

    def answer(source, index, *, accepted=True):
        reply = AppendReply(source, core.replica, core.epoch, accepted, index, 0, 0, 0)
        return plainest(core, reply)

    first, second, third = REPLICAS
    assert answer(third, 1) == answer(second, 1) != answer(second, 0)
    assert answer(third, 1, accepted=False) == answer(second, 0)
    assert plainest(core, EpochRefused(second, first, Epoch(2), third)) is None

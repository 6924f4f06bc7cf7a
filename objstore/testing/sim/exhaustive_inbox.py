"""Replicas with what may still be delivered to them, and which of these messages are worth telling apart.

A *site* is a local state and the set of messages that were sent to it. Messages are never taken out by being
delivered (loss is never, doubling is again), so a set only grows, but for what is dropped or merged here because no
continuation can tell the difference:

1. *Dead*: answers to a candidate or leader of an epoch that is over, refusals of epochs that are not higher.
2. *Merged by the target.* Of an append, a commit index does not count where it is known, nor do entries that the log
   holds already, all of it written by the same leader. Of an answer, an index counts if the leader does not know it to
   match, a round if it is not acknowledged.
3. *Merged by the source.* Of an append without news, round and index only decide the answer; they count while its
   sender leads that epoch and the answer could be news to it.
4. *Answered at once*: where a delivery changes nothing at the target but sends an answer, the answer is sent right away
   (`settle`). This only adds to what may be delivered, and whoever has more may do all that whoever has less may do.
5. *Answered for good*: a request of a lower epoch, once it was refused by the highest epoch of the scope.

In an unbounded scope the rules of `exhaustive_unbounded` take the place of 1, 2, 3 and 5, each where the core shows that the
message does the same.
"""

from __future__ import annotations

from msgspec.structs import replace

from objstore.consensus import Message, PartitionLog, Role
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    EpochRefused,
    FetchReply,
    PromiseReply,
)
from objstore.testing.sim.exhaustive_steps import Local, Outcome, Steps
from objstore.testing.sim.exhaustive_unbounded import plainest

__all__ = ["Sites", "Triple"]

Triple = tuple[int, int, int]
"""One site for each replica."""

_ANSWERS = (PromiseReply, FetchReply, AppendReply, EpochRefused)


class Sites:
    """All sites that were met, by number, and what can be delivered there."""

    def __init__(self, steps: Steps, epoch_max: int) -> None:
        self.local_of: list[int] = []
        self.inbox_of: list[int] = []
        """Bits of the messages, by the numbers of `Steps.messages`."""
        self.deliveries: list[tuple[Outcome, ...]] = []
        """What deliveries that change the target lead to."""
        self._steps = steps
        self._epoch_max = epoch_max
        self._answers: list[list[tuple[int, int]]] = []
        """What the other deliveries send: (replica, bits)."""
        self._trimmed: list[int] = []
        self._known: dict[tuple[int, int], int] = {}
        self._added: dict[tuple[int, int], int] = {}
        self._told: dict[tuple[int, int], int] = {}

    def at(self, local: int, inbox: int) -> int:
        """Return the number of a site, by rules 1 and 2."""
        key = (local, inbox)
        known = self._known.get(key)
        if known is None:
            kept = self._kept(self._steps.locals[local], inbox)
            site = self._met(local, kept) if kept == inbox else self.at(local, kept)
            known = self._known[key] = site
        return known

    def after(self, sites: Triple, place: int, outcome: Outcome) -> Triple:
        """Return where an outcome at one place leads to, settled."""
        local, sent, _ = outcome
        now = list(sites)
        now[place] = self.at(local, self.inbox_of[sites[place]] | sent[place])
        for other, messages in enumerate(sent):
            if messages and other != place:
                now[other] = self._with(now[other], messages)
        return self._settled(now)

    # --- rules 1 and 2 --------------------------------------------------------------------------------

    def _kept(self, local: Local, inbox: int) -> int:
        kept, messages = 0, self._steps.messages[local.place]
        while inbox:
            bit = inbox & -inbox
            inbox ^= bit
            number = bit.bit_length() - 1
            normal = local.normal.get(number)
            if normal is None:
                merged = self._merged(local, messages[number])
                normal = -1 if merged is None else self._steps.number_of(merged)
                if self._steps.is_unbounded and not self._is_same(local, normal, number):
                    normal = number
                local.normal[number] = normal
            if normal >= 0:
                kept |= 1 << normal
        return kept

    def _is_same(self, local: Local, normal: int, number: int) -> bool:
        """Look before a message is merged or dropped: whatever the rules say, it must do the same here."""
        return normal == number or self._shown(local, normal) == self._shown(local, number)

    def _shown(self, local: Local, number: int) -> frozenset[int]:
        """Return what a delivery makes of a replica, but for what shows nothing."""
        if number < 0:
            return frozenset()
        after = {outcome.local for outcome in self._steps.arrive(local, number)}
        return frozenset(n for n in after if not local.permits(self._steps.locals[n]))

    def _merged(self, local: Local, message: Message) -> Message | None:
        """Return the plainest message that does the same here, now and later; nothing if it does nothing."""
        core = local.core
        if self._steps.is_unbounded:
            return plainest(core, message)
        if _is_dead(core, message):
            return None
        if isinstance(message, AppendRequest) and message.epoch >= core._epoch:
            return _merged_append(core, message)
        if isinstance(message, AppendReply) and message.epoch == core._epoch:
            return _merged_answer(core, message, resets=not self._steps.ticks)
        return message

    def _met(self, local: int, inbox: int) -> int:
        """Take note of a new site, with all that can be delivered there."""
        steps, state = self._steps, self._steps.locals[local]
        answers, trimmed, rest = [0, 0, 0], inbox, inbox
        moves: dict[Outcome, None] = {}
        while rest:
            bit = rest & -rest
            rest ^= bit
            number = bit.bit_length() - 1
            message = steps.messages[state.place][number]
            if message.epoch < state.epoch == self._epoch_max and not isinstance(message, _ANSWERS):
                trimmed ^= bit
            for outcome in steps.arrive(state, number):
                if steps.stays(state, outcome):
                    answers = [old | new for old, new in zip(answers, outcome.sent, strict=True)]
                else:
                    moves[outcome] = None
        site = len(self.local_of)
        self.local_of.append(local)
        self.inbox_of.append(inbox)
        self.deliveries.append(tuple(moves))
        self._answers.append([(place, bits) for place, bits in enumerate(answers) if bits])
        self._trimmed.append(site)
        if trimmed != inbox and not steps.is_unbounded:
            self._trimmed[site] = self.at(local, trimmed)
        return site

    def _with(self, site: int, messages: int) -> int:
        key = (site, messages)
        known = self._added.get(key)
        if known is None:
            known = self.at(self.local_of[site], self.inbox_of[site] | messages)
            self._added[key] = known
        return known

    # --- rules 3 to 5 ---------------------------------------------------------------------------------

    def _settled(self, now: list[int]) -> Triple:
        grows = True
        while grows:
            grows = False
            for place in (0, 1, 2):
                for target, messages in self._answers[now[place]]:
                    more = self._with(now[target], messages)
                    if more != now[target]:
                        now[target] = more
                        grows = True
        first, second, third = (self._trimmed[site] for site in now)
        if self._steps.is_unbounded:
            return first, second, third
        locals_ = self.local_of
        a, b, c = locals_[first], locals_[second], locals_[third]
        return (
            self._merged_by(self._merged_by(first, b), c),
            self._merged_by(self._merged_by(second, a), c),
            self._merged_by(self._merged_by(third, a), b),
        )

    def _merged_by(self, site: int, source: int) -> int:
        """Rule 3, for the messages of one source."""
        key = (site, source)
        known = self._told.get(key)
        if known is None:
            kept, inbox = 0, self.inbox_of[site]
            state, sender = self._steps.locals[self.local_of[site]], self._steps.locals[source].core
            while inbox:
                bit = inbox & -inbox
                inbox ^= bit
                message = self._steps.messages[state.place][bit.bit_length() - 1]
                if message.source == sender.replica and isinstance(message, AppendRequest):
                    told = _merged_by_source(
                        state.core, message, sender, resets=not self._steps.ticks
                    )
                    bit = 0 if told is None else 1 << self._steps.number_of(told)
                kept |= bit
            known = self._told[key] = (
                site if kept == self.inbox_of[site] else self.at(state.number, kept)
            )
        return known


def _is_dead(core: PartitionLog, message: Message) -> bool:
    """Rule 1: epochs only rise, and who has lost a role in an epoch does not get it back in the same."""
    if isinstance(message, EpochRefused):
        return message.epoch <= core._epoch
    if isinstance(message, PromiseReply | FetchReply):
        return message.epoch < core._epoch or core._role is not Role.CANDIDATE
    if isinstance(message, AppendReply):
        return message.epoch < core._epoch or core._role is not Role.LEADER
    return False


def _merged_append(core: PartitionLog, message: AppendRequest) -> AppendRequest:
    last = message.previous_index + len(message.entries)
    last_epoch = message.entries[-1].epoch if message.entries else message.previous_epoch
    if message.commit <= core._commit:
        message = replace(message, commit=0)
    if not _holds_all(core, message):
        return message
    if message.epoch == core._epoch and last <= core._commit:
        return replace(message, previous_index=0, previous_epoch=0, entries=())
    if _holds_for_good(core, message, last, last_epoch):
        return replace(message, previous_index=last, previous_epoch=last_epoch, entries=())
    return message


def _holds_all(core: PartitionLog, message: AppendRequest) -> bool:
    """Tell whether nothing in it contradicts the log, which the core would find, nor adds to it."""
    return core._log.epoch_at(message.previous_index) == message.previous_epoch and all(
        core._log.epoch_at(entry.index) == entry.epoch for entry in message.entries
    )


def _holds_for_good(core: PartitionLog, message: AppendRequest, index: int, epoch: int) -> bool:
    """Tell whether the log ends in the sender's epoch, so that all of it is the sender's, and holds this entry."""
    return (
        message.epoch == core._epoch == core._log.last_epoch
        and message.source == core._leader
        and index <= core._log.last_index
        and core._log.epoch_at(index) == epoch
    )


def _merged_answer(core: PartitionLog, message: AppendReply, *, resets: bool) -> AppendReply | None:
    progress = core._progress.get(message.source)
    if core._role is not Role.LEADER or progress is None:
        return message
    if message.round <= progress.round_acked or (resets and not core._rounds):
        message = replace(message, round=0)
    if not message.accepted and message.index < progress.match:
        return replace(message, index=0, hint_epoch=0) if message.round or not resets else None
    if message.accepted and message.index <= progress.match:
        return replace(message, index=0)
    return message


def _merged_by_source(
    core: PartitionLog, message: AppendRequest, sender: PartitionLog, *, resets: bool
) -> AppendRequest | None:
    """Rule 3: return the plainest append that does the same; nothing if it does nothing at all."""
    if message.epoch < core._epoch or sender._epoch < message.epoch:
        return message
    if sender._epoch == message.epoch and sender._role is Role.CANDIDATE:
        return message
    is_heard = sender._epoch == message.epoch and sender._role is Role.LEADER
    known = message.previous_index
    if is_heard:
        progress = sender._progress[core.replica]
        known = progress.match
        if message.round <= progress.round_acked or (resets and not sender._rounds):
            message = replace(message, round=0)
    else:
        message = replace(message, round=0)
    index = message.previous_index
    if message.entries or index > known or message.epoch != core._epoch:
        return message
    if not _holds_for_good(core, message, index, message.previous_epoch):
        return message if is_heard or index else None
    at = min(message.commit, index)
    if not (is_heard or at):
        return None
    return replace(message, previous_index=at, previous_epoch=core._log.epoch_at(at) or 0)

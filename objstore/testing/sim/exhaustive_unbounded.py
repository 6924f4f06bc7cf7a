"""What is worth telling apart where only writes, changes of the membership and the epochs that are handed out are counted.

With reads, crashes, timers, late namings and repeated messages as many as anybody likes, all may happen that may happen in a
scope that counts them, and much less has to be told apart. Each of the following takes the place of what shows the same, or
lets more happen; that is sound, because whatever more can happen is held to the same rules.

1. *Appends.* A leader has always sent, to everybody, each of its entries by itself with nothing committed (an *entry*), and with
   each commit index that it had, an append without entries behind every entry up to it (a *notice*). Whatever append the
   core would send does what a `PromiseRequest` (which was sent before and is never spent), entries and a notice do one after
   the other: a batch is its entries, each of which joins behind the one before, and then the notice at the lower of its
   commit index and its end. One that does not join only promises.
2. *Progress is forgotten*: what a leader believes about a follower decides which appends are sent, and they are there. What is
   known to match decides nothing later, because the leader and one other are a majority of three: an answer commits when
   it comes or never. So answers count by their index alone, from whomever they come, and those that commit nothing are one.
3. *Appends are done* where what they bring is held in the leader's epoch or committed: within an epoch nobody takes anything
   back but where its leader's log differs, and that only grows. Their answer was sent when the entry was appended.
4. *Stepping down shows nothing.* Whatever may happen to a replica that has lost its role and nothing else, may happen to it
   while it has its role, with the same outcome: messages of its own epoch are ignored then, those of a higher one end the
   role anyhow, a naming begins anew. So a crash counts where something besides is lost, refusals of an epoch never, and
   nor do requests of a lower epoch, of which nothing but a refusal comes.
5. *Reads.* A read whose index is no lower than what anybody had applied can be answered whenever: it is as if it were, for its
   round sends nothing that was not sent. One whose index is lower must never be answered: its round is one empty
   append that everybody answers, and nothing else is told of it, nor of what waits behind it, which asks again when it is over.
   A leader with such a read may do all that it may do without.

Where a message is merged or dropped, the core is asked as well: the delivery must show the same here (`Sites`), so that a
rule that is broken is still seen to be. `tests/sim/test_exhaustive.py` compares with searches that count everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from objstore.consensus import Message, PartitionLog, ReplicaId, Role
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    EpochRefused,
    FetchReply,
    PromiseReply,
)
from objstore.consensus.progress import Progress, ProgressState
from objstore.consensus.quorum import majority_size
from objstore.model.errors import check

__all__ = ["appends_of", "forget", "plainest"]


def appends_of(core: PartitionLog, targets: Sequence[ReplicaId]) -> Iterator[AppendRequest]:
    """Return what a leader may have sent with its log and commit index, in single steps: point 1."""
    who, epoch, commit = core.replica, core._epoch, core._commit
    bounds = [(0, 0), *((entry.index, entry.epoch) for entry in core.held_entries())]
    for target in targets:
        if target == who:
            continue
        if core._rounds:
            yield AppendRequest(who, target, epoch, 0, 0, 0, core._round)
        for before, entry in zip(bounds, core.held_entries(), strict=False):
            yield AppendRequest(who, target, epoch, *before, 0, 0, (entry,))
        for end in bounds[: commit + 1] if commit else ():
            yield AppendRequest(who, target, epoch, *end, commit, 0)


def forget(core: PartitionLog) -> None:
    """Drop what decides nothing any more, in a core without a Ready: points 2 and 5."""
    is_bad = any(
        context > index  # type: ignore[operator]
        for _, index, contexts in core._rounds
        for context in contexts
    )
    core._rounds.clear()
    core._reads_waiting.clear()
    core._round = int(is_bad)
    if is_bad:
        core._rounds.append((1, 0, [1]))
    if core._role is not Role.LEADER:
        return
    check(majority_size(len(core.membership.voters)) == 2, "one answer must be a majority")
    for peer in core._progress:
        progress = core._progress[peer] = Progress(next_index=core.last_index + 1)
        progress.state = ProgressState.REPLICATE
        progress.round_sent = core._round


def plainest(core: PartitionLog, message: Message) -> Message | None:
    """Return the plainest message that does the same here, now and later; nothing if it does nothing: points 2 to 4."""
    if isinstance(message, AppendReply):
        return _plainest_answer(core, message)
    if isinstance(message, EpochRefused):
        return None
    if isinstance(message, PromiseReply | FetchReply):
        is_open = core._role is Role.CANDIDATE and message.epoch >= core._epoch
        return message if is_open else None
    if message.epoch < core._epoch:
        return None
    if isinstance(message, AppendRequest) and message.epoch == core._epoch:
        return None if _is_done(core, message) else message
    return message


def _is_done(core: PartitionLog, message: AppendRequest) -> bool:
    if message.source != core._leader:
        return True
    if not message.entries:
        return not message.round and min(message.previous_index, message.commit) <= core._commit
    entry = message.entries[0]
    return entry.index <= core._commit or (
        core._log.last_epoch == core._epoch and core._log.epoch_at(entry.index) == entry.epoch
    )


def _plainest_answer(core: PartitionLog, message: AppendReply) -> AppendReply | None:
    if core._role is not Role.LEADER or message.epoch < core._epoch:
        return None
    index = message.index if message.accepted else 0
    if index <= core._commit or core._log.epoch_at(index) not in {None, core._epoch}:
        index = 0
    return replace(
        message,
        source=core.membership.peers_of(core.replica)[0],
        accepted=True,
        index=index,
        hint_epoch=0,
        round=message.round if core._rounds else 0,
    )

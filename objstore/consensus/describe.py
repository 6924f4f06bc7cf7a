"""Draw logs, majorities, messages and Readies as text, for tests, for traces and for people who look for a reason.

entry       epoch/index, then `+` for the no-op of an epoch, `m` for a membership, `=payload` where it is short
log         what is compacted in brackets, entries in order, `|` behind the last committed one
majority    one bar per voter, as long as what is known to be durable there; a star where the majority stands
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from objstore.consensus.core import PartitionLog
from objstore.consensus.membership import Membership, ReplicaId
from objstore.consensus.messages import (
    AppendReply,
    AppendRequest,
    Entry,
    EntryKind,
    EpochRefused,
    FetchReply,
    FetchRequest,
    InstallSnapshot,
    Message,
    PromiseReply,
    PromiseRequest,
    Snapshot,
    StateHash,
)
from objstore.consensus.quorum import majority_index
from objstore.consensus.ready import Ready

__all__ = [
    "describe_entries",
    "describe_entry",
    "describe_log",
    "describe_majority",
    "describe_membership",
    "describe_message",
    "describe_progress",
    "describe_ready",
]

PAYLOAD_SHOWN_MAX = 12
"""Longer payloads are shown by their length."""

BAR_MAX = 40
"""Width of the longest bar of a majority."""

_MARKS = {EntryKind.COMMAND: "", EntryKind.NO_OP: "+", EntryKind.MEMBERSHIP: "m"}


def describe_entry(entry: Entry) -> str:
    """Draw one entry."""
    text = f"{entry.epoch}/{entry.index}{_MARKS[entry.kind]}"
    payload = entry.payload
    if entry.kind is not EntryKind.COMMAND or not isinstance(payload, bytes):
        return text
    if len(payload) > PAYLOAD_SHOWN_MAX:
        return f"{text}=<{len(payload)} bytes>"
    return f"{text}={payload.decode('ascii', 'backslashreplace')}"


def describe_entries(entries: Sequence[Entry]) -> str:
    """Draw a run of entries."""
    return " ".join(map(describe_entry, entries)) or "-"


def describe_membership(membership: Membership) -> str:
    """Name voters, and learners in round brackets."""
    voters = " ".join(membership.voters) or "nobody"
    return voters + "".join(f" ({learner})" for learner in membership.learners)


def describe_log(log: PartitionLog) -> str:
    """Draw what a replica knows: role, epoch, cursors, entries, membership."""
    entries = log.held_entries()
    compacted = log.last_index - len(entries)
    parts = [f"[..{compacted}]"] if compacted else []
    for entry in entries:
        parts.append(describe_entry(entry))
        if entry.index == log.commit_index:
            parts.append("|")
    if log.commit_index == compacted:
        parts.insert(1 if compacted else 0, "|")
    return (
        f"{log.replica} {log.role.value} epoch={log.epoch} commit={log.commit_index}"
        f" applied={log.applied_index} members={describe_membership(log.membership)}\n"
        f"    {' '.join(parts)}"
    )


def describe_majority(voters: Sequence[ReplicaId], match_of: Callable[[ReplicaId], int]) -> str:
    """Draw how far each voter is and what the majority has reached."""
    if not voters:
        return "no voters"
    reached = majority_index(voters, match_of)
    longest = max(1, *map(match_of, voters))
    lines = []
    for voter in voters:
        match = match_of(voter)
        bar = "#" * round(match * BAR_MAX / max(longest, BAR_MAX))
        lines.append(
            f"{voter}: {bar}{'>' if bar else ''} {match}{' *' if match >= reached else ''}"
        )
    return "\n".join([*lines, f"majority has {reached}"])


def describe_progress(log: PartitionLog) -> str:
    """Draw what a leader believes about its followers."""
    lines = [
        f"{peer}: {progress.state.value} match={progress.match} next={progress.next}"
        for peer, progress in log.followers()
    ]
    return "\n".join(lines) or "no followers"


def _describe_snapshot(snapshot: Snapshot) -> str:
    members = describe_membership(snapshot.membership)
    return f"upto {snapshot.epoch}/{snapshot.index} members={members}"


def _describe_promise_reply(message: PromiseReply) -> str:
    answer = "granted" if message.granted else "denied"
    return f"{answer} last={message.last_epoch}/{message.last_index}"


def _describe_fetch_reply(message: FetchReply) -> str:
    place = f"{message.previous_epoch}/{message.previous_index}"
    if message.snapshot_follows:
        return "snapshot follows"
    if not message.matched:
        return f"try after={place}"
    return f"after={place} {describe_entries(message.entries)}"


def _describe_append(message: AppendRequest) -> str:
    return (
        f"after={message.previous_epoch}/{message.previous_index} commit={message.commit}"
        f" round={message.round} {describe_entries(message.entries)}"
    )


def _describe_append_reply(message: AppendReply) -> str:
    if message.accepted:
        return f"durable={message.index} round={message.round}"
    return f"conflict, try after={message.hint_epoch}/{message.index} round={message.round}"


_DETAILS: dict[type[object], Callable[..., str]] = {
    PromiseRequest: lambda message: "",  # noqa: ARG005 the epoch says it all
    PromiseReply: _describe_promise_reply,
    FetchRequest: lambda message: f"after={message.previous_epoch}/{message.previous_index}",
    FetchReply: _describe_fetch_reply,
    AppendRequest: _describe_append,
    AppendReply: _describe_append_reply,
    InstallSnapshot: lambda message: _describe_snapshot(message.snapshot),
    EpochRefused: lambda message: f"promised to {message.leader}",
    StateHash: lambda message: f"index={message.index} digest={message.digest.hex()}",
}


def describe_message(message: Message) -> str:
    """Draw one message."""
    kind = type(message)
    head = f"{message.source}->{message.target} {kind.__name__} epoch={message.epoch}"
    return f"{head} {_DETAILS[kind](message)}".rstrip()


def describe_ready(ready: Ready) -> str:
    """Draw a Ready, one line per part that is not empty, in the order of the contract."""
    hard, soft = ready.hard_state, ready.soft_state
    lines = [
        hard and f"promise epoch={hard.epoch} leader={hard.leader}",
        ready.snapshot and f"install {_describe_snapshot(ready.snapshot)}",
        ready.truncate_from and f"truncate from {ready.truncate_from}",
        ready.entries and f"append {describe_entries(ready.entries)}",
        *(f"send {describe_message(message)}" for message in ready.messages),
        ready.committed and f"apply {describe_entries(ready.committed)}",
        *(f"read {read.context} at {read.index}" for read in ready.reads),
        *(f"read {context} dropped" for context in ready.reads_dropped),
        *(f"snapshot wanted by {target}" for target in ready.snapshots_wanted),
        ready.compact_to and f"compact to {ready.compact_to}",
        ready.hand_over_to and f"hand over to {ready.hand_over_to}",
        soft and f"now {soft.role.value}, leader={soft.leader or 'unknown'}",
    ]
    return "\n".join(str(line) for line in lines if line) or "nothing"

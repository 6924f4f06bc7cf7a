"""Dialogues with the partition log: commands, and below each what the replicas said and hold.

A block is a line `> command` and its output up to an empty line; `#` opens a comment. What a dialogue shows is made by
the cores themselves, so a page of such blocks cannot tell what is not so.

    found a b c          replicas that are there when the partition is created
    spare d              an empty store, as a new or wiped drive has it
    store a 1 1 2 promised=2 commit=1     a founding replica again, with entries of these epochs on its disk
    lead a 3             the control store names a the leader of epoch 3
    propose a x y        propose payloads
    read a r1            ask for a read to be confirmed
    change a promote d   propose a change of the membership
    hand_over a b        plan a hand-over
    run a                take one Ready through persist, send, apply, advance, and show it
    persist a            take a Ready and persist it only; `crash a` then loses the rest
    deliver a b          deliver what is on its way from a to b, and show it; a number delivers only so many
    drop a b             lose it instead
    tick 500             let that many milliseconds pass
    settle               run and deliver everywhere until nothing is open
    cut a / heal a       lose everything from and to a / no longer
    crash a              lose all that is not persisted, and start again from the disk
    show a b             draw logs;   followers a, majority a     draw what a leader believes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from objstore.consensus import (
    ChangeKind,
    Entry,
    EntryKind,
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
    decode_membership,
)
from objstore.consensus.describe import (
    describe_log,
    describe_majority,
    describe_message,
    describe_progress,
    describe_ready,
)
from objstore.model.errors import check
from objstore.model.instant import Instant

__all__ = ["Stage", "play_page", "play_script"]

ROUNDS_MAX = 500
"""Steps in which a `settle` must come to rest."""


class _Store:
    """The disk of one replica, and the core that runs on it."""

    def __init__(self, name: str, state: LogState, kind: type[PartitionLog]) -> None:
        self.name, self.kind = ReplicaId(name), kind
        self.hard_state, self.membership = state.hard_state, state.membership
        self.applied, self.compacted = state.applied, (state.compacted_index, state.compacted_epoch)
        self.entries = {entry.index: entry for entry in state.entries}
        self.start()

    def start(self) -> None:
        index, epoch = self.compacted
        self.log = self.kind(
            LogConfig(replica=self.name, retained_entries=4),
            LogState(
                hard_state=self.hard_state,
                applied=self.applied,
                compacted_index=index,
                compacted_epoch=epoch,
                membership=self.membership,
                entries=[self.entries[i] for i in sorted(self.entries)],
            ),
        )

    def persist(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            self.entries.clear()
            self.compacted = (ready.snapshot.index, ready.snapshot.epoch)
            self.applied, self.membership = ready.snapshot.index, ready.snapshot.membership
        if ready.truncate_from:
            self.entries = {i: e for i, e in self.entries.items() if i < ready.truncate_from}
        self.entries |= {entry.index: entry for entry in ready.entries}
        self.hard_state = ready.hard_state or self.hard_state

    def apply(self, ready: Ready) -> None:
        for entry in ready.committed:
            self.applied = entry.index
            if entry.kind is EntryKind.MEMBERSHIP:
                self.membership = decode_membership(entry.payload)
        if ready.compact_to:
            self.compacted = (ready.compact_to, self.entries[ready.compact_to].epoch)
            self.entries = {i: e for i, e in self.entries.items() if i > ready.compact_to}


class Stage:
    """Everything that a script can move."""

    def __init__(self, kind: type[PartitionLog] = PartitionLog) -> None:
        self.kind = kind
        self.stores: dict[str, _Store] = {}
        self.network: list[Message] = []
        self.cut_off: list[str] = []
        self.now = Instant(0)

    def play(self, command: str) -> str:
        """Do a command and return what there is to show."""
        name, *arguments = command.split()
        play: Callable[..., object] = getattr(self, f"_do_{name}")
        result = play(*arguments)
        return "ok" if result is None else str(result)

    def log(self, name: str) -> PartitionLog:
        """Return the core of a replica."""
        return self.stores[name].log

    def _do_found(self, *names: str) -> None:
        voters = [ReplicaId(name) for name in names]
        self.stores |= {name: _Store(name, LogState.founding(*voters), self.kind) for name in names}

    def _do_spare(self, name: str) -> None:
        self.stores[name] = _Store(name, LogState(), self.kind)

    def _do_store(self, name: str, *words: str) -> None:
        epochs = [int(word) for word in words if "=" not in word]
        marks = dict(word.split("=") for word in words if "=" in word)
        entries = [Entry(e, i, f"v{e}.{i}".encode()) for i, e in enumerate(epochs, 1)]
        state = LogState(
            hard_state=HardState(
                Epoch(int(marks.get("promised", 0))), commit=int(marks.get("commit", 0))
            ),
            membership=Membership(tuple(ReplicaId(n) for n in sorted(self.stores))),
            entries=entries,
        )
        self.stores[name] = _Store(name, state, self.kind)

    def _do_lead(self, name: str, epoch: str) -> object:
        return self.log(name).become_leader(Epoch(int(epoch)), self.now)

    def _do_propose(self, name: str, *payloads: str) -> object:
        return self.log(name).propose([payload.encode() for payload in payloads], self.now)

    def _do_read(self, name: str, context: str) -> object:
        return self.log(name).request_read(context, self.now)

    def _do_change(self, name: str, kind: str, replica: str) -> object:
        change = MembershipChange(ChangeKind(kind), ReplicaId(replica))
        return self.log(name).propose_change(change, self.now)

    def _do_hand_over(self, name: str, target: str) -> object:
        return self.log(name).hand_over(ReplicaId(target), self.now)

    def _do_run(self, name: str) -> str:
        store = self.stores[name]
        if not store.log.has_ready:
            return "nothing"
        ready = store.log.take_ready()
        store.persist(ready)
        self.network += [m for m in ready.messages if not {m.source, m.target} & {*self.cut_off}]
        store.apply(ready)
        store.log.advance(ready)
        for target in ready.snapshots_wanted:
            store.log.send_snapshot(target, store.log.snapshot_point(), self.now)
        return describe_ready(ready)

    def _do_persist(self, name: str) -> str:
        ready = self.log(name).take_ready()
        self.stores[name].persist(ready)
        return describe_ready(ready)

    def take(self, source: str, target: str, count: int = ROUNDS_MAX) -> list[Message]:
        """Take messages off the network."""
        taken = [m for m in self.network if (m.source, m.target) == (source, target)][:count]
        self.network = [m for m in self.network if not any(m is other for other in taken)]
        return taken

    def _do_deliver(self, source: str, target: str, count: str = str(ROUNDS_MAX)) -> str:
        taken = self.take(source, target, int(count))
        for message in taken:
            self.log(target).receive(message, self.now)
        return "\n".join(map(describe_message, taken)) or "nothing"

    def _do_drop(self, source: str, target: str) -> str:
        return "\n".join(map(describe_message, self.take(source, target))) or "nothing"

    def _do_tick(self, milliseconds: str) -> None:
        self.now = Instant(self.now + int(milliseconds))
        for store in self.stores.values():
            store.log.handle_timer(self.now)

    def _do_settle(self) -> None:
        for _ in range(ROUNDS_MAX):
            if self.network:
                message = self.network.pop(0)
                self.log(message.target).receive(message, self.now)
            elif not any([self._do_run(n) != "nothing" for n in self.stores]):  # noqa: C419 run all
                return
        check(False, "the replicas do not come to rest")

    def _do_cut(self, name: str) -> None:
        self.cut_off.append(name)
        self.network = [m for m in self.network if name not in {m.source, m.target}]

    def _do_heal(self, name: str) -> None:
        self.cut_off.remove(name)

    def _do_crash(self, name: str) -> None:
        self.stores[name].start()

    def _do_show(self, *names: str) -> str:
        return "\n".join(describe_log(self.log(name)) for name in names)

    def _do_followers(self, name: str) -> str:
        return describe_progress(self.log(name))

    def _do_majority(self, name: str) -> str:
        log = self.log(name)
        return describe_majority(log.membership.voters, log.known_durable)


def play_script(text: str, kind: type[PartitionLog] = PartitionLog) -> str:
    """Play a script and return it with the output that really came."""
    return "\n".join(_play(text.splitlines(), Stage(kind))) + "\n"


def play_page(text: str) -> str:
    """Play the fenced blocks of a Markdown page that open with a command, on one stage, and return the page."""
    stage = Stage()
    lines: list[str] = []
    block: list[str] | None = None
    for line in text.splitlines():
        if line == "```text":
            block = []
        elif line == "```" and block is not None:
            is_dialogue = bool(block) and block[0].startswith("> ")
            lines += ["```text", *(_play(block, stage) if is_dialogue else block), line]
            block = None
        elif block is not None:
            block.append(line)
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _play(lines: list[str], stage: Stage) -> Iterator[str]:
    """Yield commands, their output, comments and empty lines; drop the output that stood there."""
    is_output = False
    for line in lines:
        if line.startswith("> "):
            yield line
            yield from stage.play(line[2:]).splitlines()
            is_output = True
        elif not line or line.startswith("#"):
            yield line
            is_output = False
        else:
            check(is_output, f"a line belongs to no command: {line}")

"""One drive's catalogue file in a replicated catalogue: a queue, a thread, the machine of its replicas, a reader.

    events (any thread) -> queue -> writer thread: machine rounds, one COMMIT each -> messages to peers' queues,
                                                                                   -> answers to the event loop

Promises
    * Nobody is answered before what the answer says is durable at a majority and applied here.
    * The queue is bounded in commands and bytes; beyond that `SlowDown` (trap T17).
    * After an error of the drive the file is not touched again, everybody who waits gets `DriveUnavailable` (unknown) and
      `on_failure` is called once. A full drive is not such an error: the round waits, and is tried again; meanwhile the
      store serves nobody (`is_full`).
    * `abandon` takes the store out of service at once, also while its thread hangs in the drive.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, perf_counter
from typing import Final

import apsw

from objstore.cluster.kept_room import KeptRoom, open_with
from objstore.consensus import Membership, Message, ReplicaId, Snapshot
from objstore.metadata.applier import Answer
from objstore.metadata.catalog_file import identity_of, open_catalog_writer
from objstore.metadata.commands import (
    Command,
    CommandResult,
    CreateUpload,
    PutPart,
    PutVersion,
    SetTags,
    weight_of,
)
from objstore.metadata.reader import CatalogReader
from objstore.metadata.replica_events import Event, Found, Proposal, Report, SnapshotRead, Stage
from objstore.metadata.replica_log import ReplicaLog
from objstore.metadata.replica_machine import ReplicaMachine
from objstore.metadata.replica_transport import LocalTransport
from objstore.metadata.snapshot_copy import SnapshotCopies
from objstore.metadata.stats import CatalogStats
from objstore.metadata.wal_keeper import WalKeeper
from objstore.model.errors import DriveUnavailable, ObjstoreError, SlowDown, StorageFull
from objstore.model.instant import Instant
from objstore.model.limits import MIB
from objstore.model.names import PartitionId

__all__ = ["ReplicaStore"]

BATCH_COMMANDS_MAX: Final = 512
BATCH_BYTES_MAX: Final = 8 * MIB
QUEUE_COMMANDS_MAX: Final = 8_192
QUEUE_BYTES_MAX: Final = 64 * MIB
EVENTS_MAX: Final = 2_048
"""Events taken into one round."""
QUIET_S: Final = 0.02
"""After so long without an event a follower applies what waits."""
FULL_RETRY_S: Final = 0.5

GROWING: Final = (PutVersion, PutPart, CreateUpload, SetTags)
"""Commands that are refused while there still is room for those that make some."""

_Future = asyncio.Future[CommandResult]


class ReplicaStore:
    """Owns the only writing connection of a file that holds replicas. Submit from one event loop."""

    def __init__(  # noqa: PLR0913 - the file, who it is, whom it tells
        self,
        path: Path,
        replica: ReplicaId,
        transport: LocalTransport,
        *,
        on_report: Callable[[ReplicaStore, Sequence[Report]], None],
        on_failure: Callable[[ReplicaStore, Exception], None],
        vfs: str | None = None,
        kept_bytes: int = 0,
    ) -> None:
        """Open the file; raises `apsw.Error`. Of its drive so much is kept for when somebody else fills it."""
        self.path = path
        self.replica = replica
        self.stats = CatalogStats()
        self.full_since: float | None = None
        """Monotonic time since when its drive has no room for what is to be written; None while it has."""
        self.without_room: frozenset[PartitionId] = frozenset()
        """Partitions of which a majority is on drives at their reserve: the rest is for deletes."""
        self.stuck: frozenset[PartitionId] = frozenset()
        """Partitions of which a majority is on drives without any room: not even deletes can be written."""
        self.busy_since: float | None = None
        """Monotonic time at which the operation of the drive began that is under way; None between them."""
        self._transport = transport
        self._on_report = on_report
        self._on_failure = on_failure
        self._kept_room = KeptRoom(path, kept_bytes)
        self._connection = open_with(self._kept_room, lambda: open_catalog_writer(path, vfs=vfs))
        self.identity = identity_of(path)
        """Which files are open, whatever becomes of their names."""
        self._wal = WalKeeper(self._connection, self.stats, self._kept_room)
        self._machine = ReplicaMachine(self._connection, replica, self)
        self.founded = ReplicaLog(self._connection).memberships()
        self.reader = CatalogReader(path)
        self.copies = SnapshotCopies(path, replica, transport)
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._waiting: dict[_Future, tuple[int, float]] = {}
        """Weight of each command that waits, and since when; oldest first."""
        self._queued_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._is_closing = False
        self._chores_at = 0.0
        """When what a quiet moment is good for is tried again, after the drive was full."""
        self._outgoing: dict[ReplicaId, list[tuple[PartitionId, Message]]] = {}
        self._answers: list[tuple[object, Answer]] = []
        self._reports: list[Report] = []
        self._thread = threading.Thread(
            target=self._run, name=f"replicas {path.parent.name}", daemon=True
        )

    @property
    def writer(self) -> ReplicaStore:
        """Who commits (a `Store` of `SqlCatalog`)."""
        return self

    @property
    def queued(self) -> int:
        """Events that wait."""
        return self._queue.qsize()

    @property
    def failure(self) -> Exception | None:
        """Why the store is out of service."""
        return self._failure

    @property
    def is_full(self) -> bool:
        """Tell whether its drive has no room for what is to be written."""
        return self.full_since is not None

    @property
    def is_usable(self) -> bool:
        """Tell whether it may lead."""
        return self._failure is None and not self.is_full and not self._is_closing

    @property
    def is_over(self) -> bool:
        """Tell whether nothing of it is at work any more: its file may be opened by somebody else."""
        return not self._thread.is_alive()

    # --- event loop

    def start(self) -> None:
        """Begin; answers go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._transport.join(self.replica, self)
        self._thread.start()

    async def close(self) -> None:
        """Finish what is queued, truncate the WAL and close the file; a thread that hangs is left behind."""
        self._is_closing = True
        self._transport.leave(self.replica)
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 5.0)
        self.copies.close()
        self.reader.close()

    def abandon(self, cause: Exception) -> None:
        """Take the store out of service at once: its drive is gone or cannot be trusted."""
        if self._failure is None:
            self._failure = cause
        self._transport.leave(self.replica)
        self._queue.put(None)
        self.copies.close()
        self.reader.close()
        self.fail_waiting()

    def submit(self, partition: PartitionId, command: Command) -> _Future:
        """Queue a command; the future has its result, or its refusal, once that is durable and applied here."""
        if partition in self.stuck:
            raise StorageFull("the drives of the catalogue are full")
        if not self.is_usable or self._loop is None:
            raise DriveUnavailable("the catalogue is out of service", drive=self.replica)
        if partition in self.without_room and isinstance(command, GROWING):
            raise StorageFull("the drives of the catalogue have reached their reserve")
        weight = weight_of(command)
        if (
            len(self._waiting) >= QUEUE_COMMANDS_MAX
            or self._queued_bytes + weight > QUEUE_BYTES_MAX
        ):
            self.stats.slow_downs += 1
            raise SlowDown
        future: _Future = self._loop.create_future()
        self._waiting[future] = (weight, monotonic())
        self._queued_bytes += weight
        self.stats.queue_depth = len(self._waiting)
        self._queue.put(Proposal(partition, command, future, weight))
        return future

    async def found(self, memberships: dict[PartitionId, Membership]) -> None:
        """Make the founding replicas, durably."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.post(Found(memberships, lambda: _wake(loop, done)))
        await done.wait()
        self.founded = {**memberships, **self.founded}

    def post(self, event: Event) -> None:
        """Queue an event; from any thread."""
        self._queue.put(event)

    def fail_waiting(self, *, since: float = inf) -> None:
        """Tell everybody who waits here since a time that the outcome is unknown: who asks again is answered elsewhere."""
        late = list(takewhile(lambda item: item[1][1] <= since, self._waiting.items()))
        for future, _ in late:
            self._settle(future, DriveUnavailable("the outcome is unknown", drive=self.replica))

    def _settle(self, future: _Future, answer: Answer) -> None:
        self._queued_bytes -= self._waiting.pop(future, (0, 0.0))[0]
        self.stats.queue_depth = len(self._waiting)
        if future.done():
            return
        if isinstance(answer, ObjstoreError):
            self.stats.refused += 1
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _deliver(self, answers: Sequence[tuple[object, Answer]], reports: Sequence[Report]) -> None:
        for ticket, answer in answers:
            if isinstance(ticket, asyncio.Future):
                self._settle(ticket, answer)
        if reports:
            self._on_report(self, reports)
        if self._failure is not None or self.is_full:
            self.fail_waiting()

    def _tell_failure(self, failure: Exception) -> None:
        self.fail_waiting()
        self._on_failure(self, failure)

    # --- outlet of the machine, on the writer thread

    def send(self, partition: PartitionId, message: Message) -> None:
        """See `Outlet`; messages of one round travel together."""
        self._outgoing.setdefault(message.target, []).append((partition, message))

    def answer(self, ticket: object, answer: Answer) -> None:
        """See `Outlet`."""
        self._answers.append((ticket, answer))

    def report(self, report: Report) -> None:
        """See `Outlet`."""
        self._reports.append(report)

    def copy(self, partition: PartitionId, target: ReplicaId, point: Snapshot) -> None:
        """See `Outlet`."""
        self._flush_messages()
        self.copies.start(partition, target, point, self.post)

    # --- writer thread

    def _run(self) -> None:
        try:
            self._loop_rounds()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be answered "no"
            self._transport.leave(self.replica)
            if self._failure is None:
                self._failure = error
            self._call_loop(self._tell_failure, error)
        finally:
            self._give_up_file()

    def _give_up_file(self) -> None:
        """Close the file; after a failure as it is, without a checkpoint: recovery decides what is in it."""
        self.busy_since = None
        if self._failure is not None:
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        with contextlib.suppress(apsw.Error):
            self._connection.close()
        self._kept_room.close()

    def _loop_rounds(self) -> None:
        machine = self._machine
        while self._failure is None:
            events = self._take()
            if events is None:
                self._apply_rest()
                self._wal.truncate()
                return
            now = _now()
            self.busy_since = monotonic()
            for event in events:
                machine.take(event, now)
                if isinstance(event, SnapshotRead):
                    self.copies.ended(
                        event.partition, event.target, partial(self._snapshot_point, now), self.post
                    )
            machine.handle_timers(now)
            self._work(now)
            self._wal.checkpoint_if_due()
            self.busy_since = None

    def _apply_rest(self) -> None:
        """Bring the rows up to the log, so that the next start need not; a full drive leaves it to that."""
        with contextlib.suppress(apsw.FullError):
            while self._machine.is_behind:
                self._machine.catch_up()
                self._machine.work(_now())

    def _snapshot_point(self, now: Instant, partition: PartitionId) -> Snapshot | None:
        self._machine.catch_up(partition)
        self._work(now)
        return self._machine.snapshot_point(partition)

    def _work(self, now: Instant) -> None:
        more = True
        while more and self._failure is None:
            started = perf_counter()
            try:
                more = self._machine.work(now)
            except apsw.FullError:
                self._wait_for_room()
                continue
            self.full_since = None
            if more:
                seconds = perf_counter() - started
                self.stats.count_batch(len(self._answers), apply_s=0.0, commit_s=seconds)
            self._flush()

    def _wait_for_room(self) -> None:
        """The drive is full: find room; where there is none serve nobody, lose messages, try again."""
        if self._wal.make_room():
            return
        self.full_since = self.full_since or monotonic()
        self._flush()
        self._call_loop(self._deliver, [], [])
        self.busy_since = None
        until = monotonic() + FULL_RETRY_S
        while (left := until - monotonic()) > 0 and self._failure is None:
            try:
                event = self._queue.get(timeout=left)
            except Empty:
                break
            if event is None:
                self._queue.put(None)
                self._failure = DriveUnavailable("closed while the drive was full")
            elif isinstance(event, Proposal):
                self.answer(event.ticket, DriveUnavailable("the drive is full", drive=self.replica))
            elif isinstance(event, Stage):
                continue
        self._flush()
        self.busy_since = monotonic()

    def _flush(self) -> None:
        self._flush_messages()
        if self._answers or self._reports:
            answers, self._answers = self._answers, []
            reports, self._reports = self._reports, []
            self._call_loop(self._deliver, answers, reports)

    def _flush_messages(self) -> None:
        outgoing, self._outgoing = self._outgoing, {}
        for target, messages in outgoing.items():
            self._transport.send(target, messages)

    def _call_loop(self, function: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _take(self) -> list[Event] | None:
        """Return all that waits, within the bounds, after waiting for the first; None at the end."""
        first = self._wait()
        if first is None:
            return None
        events = first
        commands = weight = 0
        while (
            len(events) < EVENTS_MAX and commands < BATCH_COMMANDS_MAX and weight < BATCH_BYTES_MAX
        ):
            try:
                event = self._queue.get_nowait()
            except Empty:
                break
            if event is None:
                self._queue.put(None)
                break
            if isinstance(event, Proposal):
                commands += 1
                weight += event.weight_bytes
            events.append(event)
        return events

    def _wait(self) -> list[Event] | None:
        """Return the first event, none if a timer is due; does what a quiet moment is good for."""
        machine = self._machine
        while True:
            deadline = machine.next_deadline()
            timeout = None if deadline is None else max(0.0, (deadline - _now()) / 1000)
            if self._has_chores:
                timeout = 0.0
            elif machine.is_behind:
                timeout = QUIET_S if timeout is None else min(timeout, QUIET_S)
            elif (idle_s := self._wal.wait_s) is not None:
                timeout = idle_s if timeout is None else min(timeout, idle_s)
            try:
                event = (
                    self._queue.get(timeout=timeout) if timeout != 0.0 else self._queue.get_nowait()
                )
            except Empty:
                if deadline is not None and _now() >= deadline:
                    return []
                self._use_quiet_moment()
                continue
            return None if event is None else [event]

    @property
    def _has_chores(self) -> bool:
        return self._machine.has_chores and monotonic() >= self._chores_at

    def _use_quiet_moment(self) -> None:
        self.busy_since = monotonic()
        if self._has_chores:
            try:
                self._machine.do_chore()
            except apsw.FullError:
                self._chores_at = monotonic() + (0.0 if self._wal.make_room() else FULL_RETRY_S)
        elif self._machine.is_behind:
            self._machine.catch_up()
            self._work(_now())
        else:
            self._wal.tidy()
        self.busy_since = None


def _now() -> Instant:
    return Instant(int(monotonic() * 1000))


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)

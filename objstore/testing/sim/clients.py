"""The clients: one operation at a time each, on few keys, with op-ids, time-outs, retries and an end to patience.

What a client does not hear of stays unknown in its history, for ever. A retry carries the same op-id. An answer may
be lost on its way, and a request may arrive a second time, long after its client has gone on.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from objstore.consensus import NO_REPLICA
from objstore.testing.linearizability import Operation
from objstore.testing.sim.machine import Answer, Command, CommandKind

if TYPE_CHECKING:
    from objstore.testing.sim.cluster import Cluster
    from objstore.testing.sim.replica import SimReplica

__all__ = ["Attempt", "Client"]

TIMEOUT_MS = 400
BACKOFF_MS = 40
ATTEMPTS_MAX = 8

_GET = CommandKind.GET
_KINDS = (
    CommandKind.GET,
    CommandKind.GET,
    CommandKind.GET,
    CommandKind.PUT,
    CommandKind.PUT,
    CommandKind.PUT,
    CommandKind.PUT_IF_MATCH,
    CommandKind.PUT_IF_MATCH,
    CommandKind.PUT_IF_ABSENT,
    CommandKind.DELETE,
)


class Attempt:
    """One sending of one operation; answers to an old one are ignored."""

    __slots__ = ("asked_after", "client", "command")

    def __init__(self, client: Client, command: Command, asked_after: int) -> None:
        self.client, self.command = client, command
        self.asked_after = asked_after
        """Highest index that was acknowledged to anybody when the operation was called."""

    def __str__(self) -> str:
        return f"{self.command.op_id} of {self.client}"


class Client:
    """Calls a number of operations, one after the other."""

    __slots__ = (
        "_asked_after",
        "_attempt",
        "_attempts",
        "_called",
        "_cluster",
        "_command",
        "_kinds",
        "_left",
        "_payload",
        "_random",
        "_seen",
        "_target",
        "_trusted",
        "name",
        "pace_ms",
    )

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        random: Random,
        operations: int,
        *,
        kinds: tuple[CommandKind, ...] = _KINDS,
    ) -> None:
        self._cluster, self.name, self._random, self._kinds = cluster, name, random, kinds
        self._left = operations
        self._attempt: Attempt | None = None
        self._seen: dict[int, int] = {}
        """Versions as this client saw them last."""
        self._target = self._trusted = NO_REPLICA
        """Where the last request went, and who answered last."""
        self.pace_ms = 1 + cluster.plan.window_ms // max(1, operations)
        cluster.open_clients += 1
        cluster.loop.after(int(random.random() * self.pace_ms), self._call)

    def __str__(self) -> str:
        return self.name

    # --- calling --------------------------------------------------------------------------------------

    def _call(self) -> None:
        cluster = self._cluster
        self._command = command = Command(cluster.next_op_id(), *self._choose())
        self._payload = command.encode()
        self._called = cluster.next_moment()
        self._asked_after = cluster.checkers.acknowledged
        self._attempts = 0
        if cluster.trace is not None:
            cluster.trace.note(cluster.loop.now, f"{self.name} calls {command}")
        self._send()

    def _choose(self) -> tuple[int, int, int]:
        random = self._random.random
        kind = self._kinds[int(random() * len(self._kinds))]
        key = int(random() * self._cluster.plan.keys)
        return kind, key, self._seen.get(key, 0)

    def _send(self) -> None:
        """Try the named leader, or who answered last, or anybody."""
        cluster, command = self._cluster, self._command
        self._attempts += 1
        attempt = self._attempt = Attempt(self, command, self._asked_after)
        target = self._choose_target()
        if target is None:
            taken = False
        elif command.kind == _GET:
            taken = target.ask(attempt)
        else:
            taken = target.submit(self._payload, attempt)
            self._haunt()
        if self._attempt is attempt:
            wait_ms = TIMEOUT_MS if taken else BACKOFF_MS * self._attempts
            cluster.loop.after(wait_ms, self._lose_patience, attempt)

    def _choose_target(self) -> SimReplica | None:
        cluster, draw = self._cluster, self._random.random()
        if draw < 0.1:
            return self._random.choice(list(cluster.replicas.values()))
        is_loyal = draw < 0.5 and self._trusted and self._attempts == 1
        self._target = self._trusted if is_loyal else cluster.control.leader
        return cluster.replicas.get(self._target)

    def _haunt(self) -> None:
        """Have the request arrive once more, later."""
        plan = self._cluster.plan
        if plan.ghosts and self._random.random() < plan.ghosts:
            delay_ms = int(self._random.random() * plan.window_ms / 2)
            self._cluster.loop.after(delay_ms, self._cluster.submit_ghost, self._payload)

    # --- hearing --------------------------------------------------------------------------------------

    def answered(self, attempt: Attempt, answer: Answer) -> None:
        """Take the answer, unless it is lost on its way."""
        if attempt is not self._attempt:
            return
        loss = self._cluster.network.loss
        if loss and self._random.random() < loss:
            return
        self._seen[attempt.command.key] = answer[1]
        self._trusted = self._target
        self._finish(answer, self._cluster.next_moment())

    def failed(self, attempt: Attempt) -> None:
        """The outcome of an attempt is unknown: try again with the same op-id."""
        if attempt is self._attempt:
            self._attempt = attempt = Attempt(self, attempt.command, attempt.asked_after)
            self._cluster.loop.after(BACKOFF_MS, self._lose_patience, attempt)

    def _lose_patience(self, attempt: Attempt) -> None:
        if attempt is not self._attempt:
            return
        if self._attempts < ATTEMPTS_MAX:
            self._send()
        else:
            self._finish(None, None)

    def _finish(self, answer: Answer | None, returned: int | None) -> None:
        cluster, command = self._cluster, self._command
        self._attempt = None
        if cluster.trace is not None:
            cluster.trace.note(cluster.loop.now, f"{self.name} hears {answer} of {command.op_id}")
        if answer is not None or command.kind != _GET:
            operation = Operation(self._called, returned, command, answer)
            cluster.checkers.histories.setdefault(command.key, []).append(operation)
        self._left -= 1
        if not self._left:
            cluster.open_clients -= 1
        else:
            cluster.loop.after(int(self._random.random() * self.pace_ms), self._call)

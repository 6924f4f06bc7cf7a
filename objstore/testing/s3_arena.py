"""Where state machines are played: servers, a quick place for their data, and how many examples (needs Hypothesis)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, reproduce_failure, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from objstore.testing.raw_client import RawClient
from objstore.testing.s3_player import S3Player
from objstore.testing.server import S3Server

__all__ = ["Arena", "play_examples", "quick_directory"]

_ROUND_EXAMPLES = 25
_ROUNDS_MAX = 10_000
"""Of one batch, so that no two batches share a seed."""
_ROOM_BYTES = 8 << 30
"""More than what long runs write beside the reserve that a server keeps."""


@dataclass
class Arena:
    """Servers to play on, with a kept connection to each; those in `hopping` get a new one for every request."""

    servers: Sequence[S3Server]
    hopping: Collection[S3Server] = ()

    def __post_init__(self) -> None:
        self.played: Counter[str] = Counter()
        """What was played, for whoever must know that it was."""
        self.clients = [RawClient.of(server) for server in self.servers]

    def players(self) -> list[S3Player]:
        """Return a player for each server, in a new bucket."""
        bucket = f"b-{uuid.uuid4().hex[:16]}"
        return [
            S3Player(client, bucket, hops=server in self.hopping)
            for client, server in zip(self.clients, self.servers, strict=True)
        ]

    def restart(self, *, by_kill: bool) -> None:
        """End every server, with a chance to finish or without, and start it on the same data."""
        for server, client in zip(self.servers, self.clients, strict=True):
            client.close()
            server.kill() if by_kill else server.stop()
            server.start()

    def close(self) -> None:
        """Drop the connections."""
        for client in self.clients:
            client.close()


@contextmanager
def quick_directory() -> Iterator[Path]:
    """Give a new directory, in memory where the machine has room there: what is played here does not depend on the disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a new directory below it
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES
    path = Path(tempfile.mkdtemp(prefix="objstore-test-", dir=memory if has_room else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def play_examples(
    machine: Callable[[], RuleBasedStateMachine],
    *,
    examples: int,
    steps: int,
    command: str,
    batch: int = 0,
) -> None:
    """Play random examples. `OBJSTORE_STATE_MACHINE_EXAMPLES`, `_SEED` and `_REPLAY` in the environment change what is played.

    In an ordinary run the examples of a `batch` are always the same, so that a change is judged by itself; asking for a number
    of examples without a seed draws new ones. They are played in rounds with a seed each, because one long search of Hypothesis
    varies what it had more than it draws anew. A failure says with which command it comes again.
    """
    wanted = os.environ.get("OBJSTORE_STATE_MACHINE_EXAMPLES")
    chosen_seed = os.environ.get("OBJSTORE_STATE_MACHINE_SEED")
    replay = os.environ.get("OBJSTORE_STATE_MACHINE_REPLAY")
    if wanted and not chosen_seed:
        chosen_seed = str(uuid.uuid4().int % 10**9)
    left = int(wanted or examples)
    number = int(chosen_seed or 0) + batch * _ROUNDS_MAX
    while left > 0:
        size = min(left, _ROUND_EXAMPLES)
        try:
            _play_round(machine, number, replay=replay, examples=size, steps=steps)
        except BaseException as error:
            _add_command(error, command, number)
            raise
        left = 0 if replay else left - size
        number += 1


def _play_round(
    machine: Callable[[], RuleBasedStateMachine],
    number: int,
    *,
    replay: str | None,
    examples: int,
    steps: int,
) -> None:
    def factory() -> RuleBasedStateMachine:
        return machine()

    if replay:
        version, _, blob = replay.partition(" ")
        factory = reproduce_failure(version, blob.encode())(factory)
    else:
        factory = seed(number)(factory)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if phase is not Phase.explain],
    )
    run_state_machine_as_test(factory, settings=chosen)  # type: ignore[arg-type] # takes factories too


def _add_command(error: BaseException, command: str, number: int) -> None:
    """Note how the failure comes again: by its own steps, or by the seed of its round."""
    notes = "\n".join(getattr(error, "__notes__", ()))
    found = re.search(r"reproduce_failure\('(.+?)', b'(.+?)'\)", notes)
    if found is None:
        error.add_note(f"Again: OBJSTORE_STATE_MACHINE_SEED={number} {command}")
    else:
        error.add_note(f"Again: OBJSTORE_STATE_MACHINE_REPLAY='{found[1]} {found[2]}' {command}")

"""Where state machines are played: servers, a quick place for their data, and how many examples (needs Hypothesis)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
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

_ROOM_BYTES = 8 << 30
"""More than what long runs write beside the reserve that a server keeps."""


@dataclass
class Arena:
    """Servers to play on, with a kept connection to each; those in `hopping` get a new one for every request."""

    servers: Sequence[S3Server]
    hopping: Collection[S3Server] = ()

    def __post_init__(self) -> None:
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
    machine: Callable[[], RuleBasedStateMachine], *, examples: int, steps: int, command: str
) -> None:
    """Play random examples. `OBJSTORE_STATE_MACHINE_EXAMPLES`, `_SEED` and `_REPLAY` in the environment change what is played.

    A failure says with which command it comes again.
    """
    wanted = os.environ.get("OBJSTORE_STATE_MACHINE_EXAMPLES")
    replay = os.environ.get("OBJSTORE_STATE_MACHINE_REPLAY")

    def factory() -> RuleBasedStateMachine:
        return machine()

    if replay:
        version, _, blob = replay.partition(" ")
        factory = reproduce_failure(version, blob.encode())(factory)
    elif "OBJSTORE_STATE_MACHINE_SEED" in os.environ:
        factory = seed(int(os.environ["OBJSTORE_STATE_MACHINE_SEED"]))(factory)
    chosen = settings(
        max_examples=int(wanted or examples),
        stateful_step_count=steps,
        deadline=None,
        # The same examples in every ordinary run, so that a change is judged by itself;
        # asking for a number of them draws new ones.
        derandomize=wanted is None and "OBJSTORE_STATE_MACHINE_SEED" not in os.environ,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if phase is not Phase.explain],
    )
    try:
        run_state_machine_as_test(factory, settings=chosen)  # type: ignore[arg-type] # takes factories too
    except BaseException as error:
        found = re.search(
            r"reproduce_failure\('(.+?)', b'(.+?)'\)", "\n".join(getattr(error, "__notes__", ()))
        )
        if found is not None:
            error.add_note(
                f"Again: OBJSTORE_STATE_MACHINE_REPLAY='{found[1]} {found[2]}' {command}"
            )
        raise

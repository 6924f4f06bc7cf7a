"""What one entry costs in the core of the partition log, in microseconds of CPU time: alone, and with three replicas.

Nothing is persisted, encoded or sent: messages are handed over as values. Each figure is the best of several rounds.

Usage: consensus_bench.py
"""

from __future__ import annotations

from time import process_time

from objstore.consensus import Epoch, LogConfig, LogState, PartitionLog, ReplicaId
from objstore.model.instant import Instant

BATCHES = (1, 16, 256)
"""Payloads that one proposal carries."""
ENTRIES = 40_960
ROUNDS = 5
NOW = Instant(0)


def found(names: str) -> dict[ReplicaId, PartitionLog]:
    """Return fresh cores, the first of which leads."""
    state = LogState.founding(*map(ReplicaId, names))
    logs = {
        ReplicaId(name): PartitionLog(LogConfig(replica=ReplicaId(name)), state) for name in names
    }
    logs[ReplicaId(names[0])].become_leader(Epoch(1), NOW)
    settle(logs)
    return logs


def settle(logs: dict[ReplicaId, PartitionLog]) -> None:
    """Carry out Readies and hand over messages until nothing is open."""
    is_busy = True
    while is_busy:
        is_busy = False
        for log in logs.values():
            while log.has_ready:
                is_busy = True
                ready = log.take_ready()
                for message in ready.messages:
                    logs[message.target].receive(message, NOW)
                log.advance(ready)


def measure_us(names: str, batch: int, payload: object) -> float:
    """Return microseconds of CPU time for each entry, over all replicas together."""
    logs = found(names)
    leader = logs[ReplicaId(names[0])]
    payloads = [payload] * batch
    begun = process_time()
    for _ in range(ENTRIES // batch):
        leader.propose(payloads, NOW)
        settle(logs)
    return (process_time() - begun) / ENTRIES * 1e6


def main() -> None:
    """Print a row for each number of replicas and size of batch."""
    for names in ("a", "abc"):
        payload: object = object() if len(names) == 1 else b"x" * 200
        for batch in BATCHES:
            best = min(measure_us(names, batch, payload) for _ in range(ROUNDS))
            print(f"{len(names)} replicas  batch {batch:4}  {best:7.2f} us an entry")


if __name__ == "__main__":
    main()

"""How often the failure detector is wrong, and how fast it is right: a table over loss and jitter, in simulated time.

    python benchmarks/failure_detector_bench.py [--hours H] [--crashes N] [--seed S]

A peer sends a heartbeat every 500 ms. Each is lost with a probability and delayed by a random time (exponential, so that
some come late and in bursts). Wrong verdicts are counted while it lives; then it falls silent at a random moment of its
rhythm, and the time until the verdict is taken.
"""

from __future__ import annotations

import argparse
from random import Random

from objstore.cluster.failure_detector import DetectorSettings, FailureDetector, Health
from objstore.model.names import NodeId

PEER = NodeId("peer")
LOSSES = (0.0, 0.01, 0.05, 0.10, 0.20, 0.30)
JITTERS_MS = (0, 50, 250)


def arrivals(
    random: Random, *, loss: float, jitter_ms: float, until_ms: int, start_ms: int
) -> list[int]:
    sent = range(start_ms, start_ms + until_ms, 500)
    came = []
    for time in sent:
        late = random.expovariate(1 / jitter_ms) if jitter_ms else 0
        if random.random() >= loss:
            came.append(int(time + late))
    return sorted(came)


def run_to(detector: FailureDetector, now: int, counts: dict[Health, list[int]]) -> None:
    """Call the timer at each of its deadlines up to a moment."""
    while (due := detector.next_deadline()) is not None and due <= now:
        for transition in detector.handle_timer(due):
            counts[transition.after].append(due)


def live(random: Random, hours: float, *, loss: float, jitter_ms: float):
    detector = FailureDetector(DetectorSettings())
    detector.add(PEER, 0)
    counts: dict[Health, list[int]] = {health: [] for health in Health}
    for time in arrivals(
        random, loss=loss, jitter_ms=jitter_ms, until_ms=int(hours * 3_600_000), start_ms=0
    ):
        run_to(detector, time - 1, counts)
        detector.heartbeat(PEER, time, 1.0)
    return len(counts[Health.SUSPECT]) / hours, len(counts[Health.DOWN]) / hours


def crash(random: Random, *, loss: float, jitter_ms: float) -> tuple[int, int]:
    detector = FailureDetector(DetectorSettings())
    detector.add(PEER, 0)
    counts: dict[Health, list[int]] = {health: [] for health in Health}
    died = 60_000 + random.randrange(500)
    for time in arrivals(random, loss=loss, jitter_ms=jitter_ms, until_ms=died, start_ms=0):
        run_to(detector, time - 1, counts)
        detector.heartbeat(PEER, time, 1.0)
    run_to(detector, died + 60_000, counts)
    return counts[Health.SUSPECT][-1] - died, counts[Health.DOWN][-1] - died


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--crashes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = Random(options.seed)
    print(
        "| Loss | Jitter ms | wrong SUSPECT / h | wrong DOWN / h | SUSPECT after s, mean (max) | DOWN after s, mean (max) |"
    )
    print("|---|---|---|---|---|---|")
    for jitter_ms in JITTERS_MS:
        for loss in LOSSES:
            suspects, downs = live(random, options.hours, loss=loss, jitter_ms=jitter_ms)
            times = [crash(random, loss=loss, jitter_ms=jitter_ms) for _ in range(options.crashes)]
            columns = [[time / 1000 for time in column] for column in zip(*times, strict=True)]
            cells = [f"{sum(column) / len(column):.2f} ({max(column):.2f})" for column in columns]
            print(
                f"| {loss:.0%} | {jitter_ms} | {suspects:.2f} | {downs:.2f} | {' | '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""What the schedules reach: a fault that never strikes, or a path that is never taken, tests nothing."""

from __future__ import annotations

from collections import Counter

from objstore.consensus import ChangeKind
from objstore.testing.sim.campaign import run_schedule
from objstore.testing.sim.clients import Client
from objstore.testing.sim.cluster import Cluster, Parts
from objstore.testing.sim.control import ControlStore
from objstore.testing.sim.faults import INJECTIONS, Fault
from objstore.testing.sim.layout import Operator
from objstore.testing.sim.replica import CrashPoint, SimReplica

SCHEDULES = 400


class Witness(SimReplica):
    """Counts what happens to all replicas."""

    seen = Counter()  # noqa: RUF012 one count for all of them

    def start(self):
        self.seen["start"] += 1
        super().start()

    def sync_failed(self):
        self.seen["failed sync"] += 1
        super().sync_failed()

    def _crashes_at(self, point):
        crashes = super()._crashes_at(point)
        self.seen[point] += crashes
        return crashes

    def change(self, change):
        self.seen[change.kind] += 1
        super().change(change)

    def _install(self, snapshot):
        self.seen["snapshot"] += 1
        super()._install(snapshot)

    def _drop_waiting(self):
        self.seen["unknown outcome"] += len(self._waiting)
        super()._drop_waiting()


def test_everything_happens_to_the_replicas():
    """Each point of the contract is crashed at, each step of a membership is taken, snapshots travel, outcomes get unknown."""
    Witness.seen.clear()
    plans = []
    for seed in range(SCHEDULES):
        cluster = run_schedule(seed, Parts(replica=Witness))
        plans.append(cluster.plan)
        assert isinstance(cluster.control, ControlStore)
        assert isinstance(cluster.operator, Operator)
        assert cluster.operator.is_content
    points = [point for point in CrashPoint if point is not CrashPoint.AT_ONCE]
    for what in (*points, *ChangeKind, "start", "failed sync", "snapshot", "unknown outcome"):
        assert Witness.seen[what] > 0, what
    for fault in Fault:
        assert any(fault in plan.faults for plan in plans), fault
    assert {plan.replicas for plan in plans} == {1, 2, 3, 5}


def test_every_fault_with_a_moment_has_a_row():
    """A fault that is switched on and never strikes would make every result look better than it is."""
    weather = {
        Fault.LOSS,
        Fault.DUPLICATION,
        Fault.REORDERING,
        Fault.TORN_BATCHES,
        Fault.LATE_NAMINGS,
    }
    assert set(Fault) == weather | set(INJECTIONS)


def test_clients_give_up_and_leave_their_outcome_open():
    """Unknown outcomes must be in the histories, or the checker never sees what is hardest."""
    outcomes = Counter()
    for seed in range(SCHEDULES):
        cluster = Cluster(seed, Parts(client=Client))
        cluster.run()
        for operations in cluster.checkers.histories.values():
            outcomes.update(operation.returned is None for operation in operations)
    assert outcomes[True] > 0
    assert outcomes[False] > 20 * outcomes[True]

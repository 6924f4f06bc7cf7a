"""Room that stays free, on drives of every size."""

from __future__ import annotations

import pytest

from objstore.model.limits import GIB, MIB
from objstore.storage.drive import DriveUsage
from objstore.storage.headroom import default_reserve_bytes, usage_of


@pytest.mark.parametrize(
    ("total", "reserve"),
    [(64 * MIB, 64 * MIB // 10), (20 * GIB, 1 * GIB), (1000 * GIB, 20 * GIB)],
)
def test_reserve_follows_the_size(total, reserve):
    """A tenth of a small filesystem, one GiB of a usual one, 2 % of a large one."""
    assert default_reserve_bytes(total) == reserve


def test_files_run_out_too():
    """Many small objects use up the inodes first (users 2.3)."""
    usage = DriveUsage(1000, 900, 10, 100, 1, 1)
    assert not usage.takes(1)
    assert DriveUsage(1000, 900, 10, 100, 2, 1).takes(1)
    assert DriveUsage(1000, 900, 10, 0, 0, 0).takes(890)
    assert not DriveUsage(1000, 900, 10, 0, 0, 0).takes(891)


def test_setting_wins_over_the_rule(tmp_path):
    """An operator may want more, a test less."""
    assert usage_of(tmp_path, 5).reserve_bytes == 5
    usage = usage_of(tmp_path, None)
    assert usage.reserve_bytes == default_reserve_bytes(usage.total_bytes)

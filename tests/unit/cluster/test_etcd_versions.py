"""Which etcd servers are refused: every border of the bad ranges."""

from __future__ import annotations

import pytest

from objstore.cluster.etcd_versions import check_server_version
from objstore.model.errors import ControlStoreUnfit


@pytest.mark.parametrize(
    "version", ["3.4.22", "3.4.23", "3.4.100", "3.5.6", "3.5.21", "3.6.0", "3.10.1", "3.5.9+git.1"]
)
def test_good_servers_are_taken(version):
    """A comparison as text would refuse 3.10 and take 3.4.3."""
    check_server_version(version, endpoint="e")


@pytest.mark.parametrize(
    "version", ["3.5.0", "3.5.5", "3.4.0", "3.4.3", "3.4.21", "3.3.27", "3.2.0", "2.3.8"]
)
def test_servers_that_can_lose_consistency_are_refused(version):
    """Members killed at the wrong moment come up with different data, and nothing repairs it."""
    with pytest.raises(ControlStoreUnfit) as refused:
        check_server_version(version, endpoint="http://e")
    assert version in str(refused.value)
    assert "http://e" in str(refused.value)


@pytest.mark.parametrize(
    "version", ["", "3.5", "3.6.0-rc.1", "3.5.6-alpha", "4.0.0", "x", "3.5.6 "]
)
def test_what_is_not_a_known_release_is_refused(version):
    """A pre-release of 3.5.6 has not got its repair; of other majors nothing is known."""
    with pytest.raises(ControlStoreUnfit):
        check_server_version(version, endpoint="e")

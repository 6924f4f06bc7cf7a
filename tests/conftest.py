"""What several kinds of tests need: a real etcd, and loud words where there is none."""

from __future__ import annotations

import os

import pytest

from objstore.testing.etcd_process import EtcdProcess, find_etcd

MISSING = "no etcd on this machine: the control store of a cluster was NOT tested (run `make etcd`)"


@pytest.fixture(scope="session")
def etcd_program():
    """Give the program of etcd. Without one the tests do not run: CI fails, elsewhere the report says it."""
    program = find_etcd()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return program


@pytest.fixture(scope="session")
def etcd(etcd_program, tmp_path_factory):
    """Give one running server to all tests that do not stop it; each uses keys of its own."""
    with EtcdProcess(etcd_program, tmp_path_factory.mktemp("etcd")) as process:
        yield process


@pytest.fixture
def etcd_settings(etcd, request):
    """Give settings for the shared server with a key prefix that no other test has."""
    from objstore.cluster.etcd_members import EtcdSettings

    return EtcdSettings(endpoints=(etcd.url,), key_prefix=f"{request.node.nodeid}/")


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(MISSING in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section("etcd is missing", red=True, bold=True)
        terminalreporter.line(f"{MISSING}; {count} tests did not run")

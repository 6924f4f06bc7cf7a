"""What `check` finds wrong, and that it only looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from objstore.server.settings import Secret, UserSettings, build_settings
from objstore.server.settings_check import check

KEY = Secret("12345678")
ALICE = UserSettings(name="alice", access_key="ALICE", secret_key=KEY)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"dirs": ()}, "dirs: name at least one"),
        ({"dirs": (Path("/a"), Path("/a"))}, "/a is given 2 times"),
        ({"address": "9000"}, "address: '9000' is not HOST:PORT"),
        ({"address": "::1:9000"}, "in brackets"),
        ({"address": "127.0.0.1:70000"}, "not HOST:PORT"),
        ({"console_address": "127.0.0.1:9000"}, "is already the address"),
        ({"dev": True, "address": "0.0.0.0:9000"}, "not a loopback address"),
        ({"tls_cert": Path(__file__)}, "belong together"),
        ({"tls_cert": Path("/nowhere"), "tls_key": Path(__file__)}, "there is no file /nowhere"),
        ({"domains": ("S3.example.com",)}, "not a domain name"),
        ({"public_url": "s3.example.com"}, "public_url"),
        ({"public_url": "https://h/path"}, "without a path"),
        ({"region": "US EAST"}, "region"),
        ({"buckets": ("A",)}, "not a bucket name"),
        ({"inline_limit_bytes": 1 << 20}, "inline_limit_bytes"),
        ({"block_bytes": 3_000_000}, "power of two"),
        ({"idle_timeout_s": 0.0}, "idle_timeout_s"),
        ({"connections_max": 0}, "connections_max"),
        ({"workers": 0}, "workers: 0 is not from 1 to 64"),
        ({"workers": 65}, "workers: 65 is not from 1 to 64"),
        ({"log_level": "loud"}, "none of debug, info, warning, error"),
        ({"root_access_key": "root"}, "belong together"),
        ({"root_access_key": "root", "root_secret_key": Secret("short")}, "at least 8"),
        ({"root_access_key": "ro/ot", "root_secret_key": KEY}, "access key has"),
        ({"users": (ALICE, ALICE)}, "the name alice is given 2 times"),
        (
            {"users": (ALICE,), "root_access_key": "ALICE", "root_secret_key": KEY},
            "the access_key ALICE is given 2 times",
        ),
    ],
)
def test_each_fault_is_named_with_its_setting(values, complaint) -> None:
    """A refusal has to say which setting and what would be right."""
    problems = check(build_settings({"dirs": (Path("/data"),), **values}))
    assert any(complaint in problem for problem in problems), problems


def test_all_faults_are_told_at_once() -> None:
    """One restart is enough to see everything."""
    settings = build_settings({"dirs": (), "region": "", "workers": 0, "address": "x"})
    assert len(check(settings)) == 4


def test_sound_settings_pass_and_nothing_is_made(tmp_path) -> None:
    """Checking must be safe to run anywhere: it opens and creates nothing."""
    directory = tmp_path / "new"
    assert check(build_settings({"dirs": (directory,)})) == []
    assert check(build_settings({"dev": True})) == []
    assert not directory.exists()


def test_file_in_place_of_a_directory_is_found(tmp_path) -> None:
    """Found before the start rather than by the first write."""
    file = tmp_path / "file"
    file.touch()
    assert "is not a directory" in check(build_settings({"dirs": (file,)}))[0]

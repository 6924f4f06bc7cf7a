"""Sockets in the data directory: private, replaceable, at any depth of path."""

from __future__ import annotations

import socket
import stat

import pytest

from objstore.cluster.unix_socket import connect_unix, listen_unix


@pytest.mark.parametrize("depth", [0, 3])
def test_a_socket_is_reached_at_any_length_of_path(tmp_path, depth) -> None:
    """Data directories of containers and tests are often deeper than a socket address is long."""
    directory = tmp_path.joinpath(*["d" * 60] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "workers.sock"
    with listen_unix(path) as listening, connect_unix(path) as client:
        listening.setblocking(True)
        served, _ = listening.accept()
        with served:
            client.send(b"hello")
            assert served.recv(5) == b"hello"


def test_only_the_own_user_may_connect(tmp_path) -> None:
    """Whoever can connect can write the catalogue."""
    path = tmp_path / "workers.sock"
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_killed_process_left_is_replaced(tmp_path) -> None:
    """A socket file outlives its process; it must not stand in the way of the next start."""
    path = tmp_path / "workers.sock"
    listen_unix(path).close()
    with pytest.raises(ConnectionRefusedError):
        connect_unix(path)
    with listen_unix(path), connect_unix(path) as client:
        assert client.family == socket.AF_UNIX

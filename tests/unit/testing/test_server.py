"""The server of the test kit: real, alone, and gone afterwards."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from objstore.testing.server import S3Server, ServerFailed


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_server_lives_for_a_block_and_leaves_nothing():
    """Users of the kit run thousands of them: no process, no file, no port may stay."""
    with S3Server(buckets=["given"]) as server:
        assert server.get("/_/health/ready")[0] == 200
        assert server.get("/_/health/nonsense")[0] == 404
        pid, scratch = server.pid, server.log_path.parent
        assert server.directories[0].is_relative_to(scratch)
        arguments = server.client_arguments()
        assert arguments["endpoint_url"] == f"http://127.0.0.1:{server.port}"
        assert arguments["aws_access_key_id"] == server.access_key
        assert "verify" not in arguments
        assert server.endpoint_url in repr(server)
        assert server.secret_key not in repr(server)
    assert not is_running(pid)
    assert not scratch.exists()
    with pytest.raises(ServerFailed, match="not running"):
        _ = server.pid


def test_data_survives_a_kill_and_a_restart(tmp_path):
    """That is what `kill` and `start` are for; the port stays, so that clients find it again."""
    with S3Server([tmp_path / "data"], buckets=["given"]) as server:
        port, pid = server.port, server.pid
        server.kill()
        assert not is_running(pid)
        server.start()
        assert (server.port, server.get("/_/health/ready")[0]) == (port, 200)
        assert server.stop() == 0
        assert server.stop() == 0
        server.kill()
        server.start()
        server.restart()
        assert server.get("/_/health/live")[0] == 200
    assert (tmp_path / "data").exists()


def test_server_that_cannot_start_says_why(tmp_path):
    """The last lines of its log are in the error, and nothing is left of it."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("x")
    server = S3Server([tmp_path / "foreign"])
    scratch = server.log_path.parent
    with pytest.raises(ServerFailed, match=r"thesis\.txt"), server:
        raise AssertionError("it started")
    assert not scratch.exists()


def test_port_that_is_taken_is_told():
    """Another process may take the free port in between; the user has to see that."""
    server = S3Server()
    try:
        with socket.socket() as squatter:
            squatter.bind(("127.0.0.1", server.port))
            squatter.listen()
            with pytest.raises(ServerFailed, match="ended with"):
                server.start()
    finally:
        server.close()


def test_settings_reach_the_server():
    """Through a file, the command line and the environment; what the shell has does not leak in."""
    server = S3Server(
        config='[s3]\nregion = "eu-west-1"\n',
        arguments=["--log-format", "json"],
        environment={"OBJSTORE_LOG_LEVEL": "debug"},
    )
    try:
        options = server._options()
        assert options[-2:] == ["--log-format", "json"]
        config = Path(options[options.index("--config") + 1])
        assert "eu-west-1" in config.read_text(encoding="utf-8")
        assert server._full_environment()["OBJSTORE_LOG_LEVEL"] == "debug"
        assert server.log_tail() == ""
    finally:
        server.close()


def test_environment_of_the_shell_stays_out(monkeypatch):
    """A developer's own settings must not change what a test sees."""
    monkeypatch.setenv("OBJSTORE_ROOT_ACCESS_KEY", "mine")
    monkeypatch.setenv("OBJSTORE_DOMAINS", "mine")
    server = S3Server(access_key="theirs")
    try:
        environment = server._full_environment()
        assert environment["OBJSTORE_ROOT_ACCESS_KEY"] == "theirs"
        assert "OBJSTORE_DOMAINS" not in environment
        assert "PATH" in environment
    finally:
        server.close()

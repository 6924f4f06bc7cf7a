"""What a worker is told is what the owner knows."""

from __future__ import annotations

from pathlib import Path

from objstore.server.keys import KeyOrigin, RootKeys
from objstore.server.settings import Secret, UserSettings, build_settings
from objstore.server.worker_link import Assignment, decode_assignment, encode_assignment


def test_settings_and_keys_arrive_as_they_were() -> None:
    """A worker with another region, limit or user would answer differently from its owner."""
    settings = build_settings(
        {
            "dirs": (Path("/a"), Path("/b c")),
            "tls_cert": Path("/cert.pem"),
            "tls_key": Path("/key.pem"),
            "domains": ("s3.example.com",),
            "users": (UserSettings(name="u", access_key="U", secret_key=Secret("s" * 9)),),
            "reserve_bytes": 5,
            "idle_timeout_s": 2.5,
            "workers": 3,
        }
    )
    keys = RootKeys("root", Secret("hidden-key"), KeyOrigin.STORED, Path("/a/root-keys.toml"))
    sent = Assignment(settings, keys, b"h" * 24)
    received = decode_assignment(encode_assignment(sent))
    assert received == sent
    assert received.root_keys.secret_key.reveal() == "hidden-key"
    assert "hidden-key" not in repr(received)

"""The first screen: the secret is shown when it has to be, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from objstore.server.addresses import Address
from objstore.server.banner import banner, endpoint_url
from objstore.server.keys import KeyOrigin, RootKeys
from objstore.server.settings import Secret, build_settings

SETTINGS = build_settings({"dirs": (Path("/data"),)})


@pytest.mark.parametrize(
    ("origin", "is_shown"),
    [
        (KeyOrigin.MADE, True),
        (KeyOrigin.DEVELOPMENT, True),
        (KeyOrigin.STORED, False),
        (KeyOrigin.GIVEN, False),
    ],
)
def test_secret_is_shown_once_and_never_again(origin, is_shown) -> None:
    """A terminal's scroll-back and a container's log are read by many."""
    keys = RootKeys("ACCESS", Secret("the-secret"), origin, Path("/data/root-keys.toml"))
    text = banner(SETTINGS, Address("127.0.0.1", 9000), keys, ready_after_s=0.5)
    assert "ACCESS" in text
    assert ("the-secret" in text) == is_shown


def test_endpoint_is_an_address_that_works_from_here() -> None:
    """`0.0.0.0` is where a server listens, not where a client connects."""
    assert endpoint_url(Address("0.0.0.0", 9000), is_tls=False) == "http://127.0.0.1:9000"
    assert endpoint_url(Address("::1", 443), is_tls=True) == "https://[::1]:443"

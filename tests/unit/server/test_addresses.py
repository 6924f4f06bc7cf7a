"""Addresses as people write them."""

from __future__ import annotations

import pytest

from objstore.server.addresses import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", Address("127.0.0.1", 9000)),
        ("[::1]:0", Address("::1", 0)),
        (":80", Address("", 80)),
        ("store.example.com:443", Address("store.example.com", 443)),
    ],
)
def test_good_forms_are_read_and_written_back(text, address) -> None:
    """The banner shows what was asked for."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "9000", "h:", "h:x", "h:65536", "::1:80", "h:-1"])
def test_bad_forms_are_refused(text) -> None:
    """A half-read address would listen somewhere nobody meant."""
    with pytest.raises(ValueError, match="HOST:PORT|brackets"):
        parse_address(text)


def test_loopback_is_recognised() -> None:
    """Development mode with its public keys depends on it."""
    assert all(
        Address(host, 1).is_loopback for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")
    )
    assert not any(Address(host, 1).is_loopback for host in ("", "0.0.0.0", "::", "10.0.0.1", "h"))

"""Network addresses as people write them: `HOST:PORT`, `[IPv6]:PORT`, `:PORT`."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

__all__ = ["Address", "parse_address"]

_PORT_MAX = 65_535


class Address(NamedTuple):
    """A host (name or number, without brackets; empty for all addresses) and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read an address. Raises ValueError with what is wrong about it."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        msg = f"{text!r} is not HOST:PORT with a port from 0 to {_PORT_MAX}"
        raise ValueError(msg)
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        msg = f"{text!r}: write an IPv6 address in brackets, as in [::1]:{port}"
        raise ValueError(msg)
    return Address(host[1:-1] if bracketed else host, int(port))

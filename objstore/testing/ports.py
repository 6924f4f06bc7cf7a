"""A TCP port of this machine for a server that a test will start."""

from __future__ import annotations

import random
import socket
from typing import Final

__all__ = ["free_port"]

_PORTS: Final = range(20_000, 32_000)
"""Below what systems give to outgoing connections: none of these may take the port before its server does."""
_ATTEMPTS: Final = 100


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now, at random: tests run beside each other."""
    chance = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = chance.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port among {_ATTEMPTS}")

"""Where requests go: the endpoint, taken apart once, and how to trust it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from objstore.server.bench.refusal import BenchRefused
from objstore.server.bench.signer import Credentials

__all__ = ["Target", "parse_endpoint"]

_PORTS: Final = {"http": 80, "https": 443}


class Target(msgspec.Struct, frozen=True):
    """An endpoint and who asks it; goes to worker processes as it is."""

    host: str
    port: int
    is_tls: bool
    credentials: Credentials
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    @property
    def url(self) -> str:
        """The endpoint, for a person."""
        return f"{'https' if self.is_tls else 'http'}://{self.host_header.decode()}"

    @property
    def host_header(self) -> bytes:
        """Value of the Host header: the port stands in it unless it is the usual one."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.is_tls else "http"]
        return (name if self.port == usual else f"{name}:{self.port}").encode()

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what to verify the server with; nothing for http. Raises `BenchRefused`."""
        if not self.is_tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise BenchRefused(
                f"cannot use the certificates in {self.ca_file}: {error}",
                next_step="--ca-file takes a PEM file with the certificate of the authority",
            ) from error


def parse_endpoint(url: str) -> tuple[str, int, bool]:
    """Return host, port and whether it is https. Raises `BenchRefused` for what is no endpoint."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BenchRefused(f"{url!r} is not an endpoint: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BenchRefused(
            f"{url!r} is not an endpoint",
            next_step="write scheme and host, as in --endpoint http://127.0.0.1:9000; the bucket goes into --bucket",
        )
    return parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "https"

"""The servers of an etcd cluster: who is asked first, connections that are kept, and who may be asked at all.

Before its first request, and again whenever it broke off and came back, a server tells its version and its cluster. One in a
bad range of versions, or of another cluster than the first one seen, gets no request (`ControlStoreUnfit`).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from objstore.cluster.etcd_http import Endpoint, HttpAnswer, HttpConnection, parse_endpoint
from objstore.cluster.etcd_messages import StatusReply, decode_reply
from objstore.cluster.etcd_versions import check_server_version
from objstore.model.errors import ControlStoreUnfit, CorruptRecord, check

__all__ = ["EtcdSettings", "EtcdTls", "Members"]

_STATUS_PATH: Final = "/v3/maintenance/status"
_HTTP_OK: Final = 200
_REASON_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM files of the client's side; certificate and key only where the servers ask for them."""

    authority: Path
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """How to reach the servers and how long to wait for them."""

    endpoints: tuple[str, ...]
    """URLs, `http://host:2379` or `https://host:2379`, of all members."""
    key_prefix: str
    """In front of all keys, printable ASCII, as `objstore/<cluster id>/`: others may use the same servers."""
    user: str = ""
    password: str = field(default="", repr=False)
    tls: EtcdTls | None = None
    attempt_s: float = 2.0
    """A read that got no answer for so long is asked of the next server. Also the bound on connecting."""
    call_s: float = 6.0
    """Every call ends within this."""
    watch_probe_s: float = 10.0
    """A watch that is quiet for so long makes sure that its server still reaches a majority."""
    watch_patience_s: float = 30.0
    """A watch that could not be opened again for so long gives up."""
    connections_max: int = 16
    """Calls under way at the same time; others wait, within their deadline. Watches are not counted."""


Exchange = Callable[[HttpConnection, str, bytes], Awaitable[HttpAnswer]]
"""Sends a request with what proves the user: since 3.6 servers tell strangers nothing."""


class Members:
    """The servers of the settings. Use from one event loop."""

    def __init__(self, settings: EtcdSettings, exchange: Exchange) -> None:
        check(settings.endpoints, "etcd needs at least one endpoint")
        self._endpoints = [parse_endpoint(url) for url in settings.endpoints]
        self._tls = None if settings.tls is None else _context(settings.tls)
        self._exchange = exchange
        self._first = 0
        self._idle: dict[str, list[HttpConnection]] = {each.url: [] for each in self._endpoints}
        self._checked: set[str] = set()
        self._cluster_id = 0
        self._is_closed = False

    def close(self) -> None:
        """Drop the connections that nobody uses; the others are dropped after their use."""
        self._is_closed = True
        for endpoint in self._endpoints:
            self.forget(endpoint)

    def in_turn(self) -> list[Endpoint]:
        """Return all servers, the one that is to be asked first at the front."""
        return self._endpoints[self._first :] + self._endpoints[: self._first]

    def pass_over(self, endpoint: Endpoint) -> None:
        """Ask another one first from now on."""
        if self._endpoints[self._first] is endpoint:
            self._first = (self._first + 1) % len(self._endpoints)

    def forget(self, endpoint: Endpoint) -> None:
        """Drop what is known of a server that broke off: it may be another one when it comes back."""
        self._checked.discard(endpoint.url)
        idle = self._idle[endpoint.url]
        while idle:
            idle.pop().close()

    async def connect(self, endpoint: Endpoint) -> HttpConnection:
        """Return a connection to a checked server; raise `OSError`, `ControlStoreUnfit`, or `Unavailable` for a bad login."""
        idle = self._idle[endpoint.url]
        while idle:
            connection = idle.pop()
            if connection.is_reusable:
                return connection
            connection.close()
            self.forget(endpoint)
        connection = await HttpConnection.open(endpoint, self._tls)
        try:
            if endpoint.url not in self._checked:
                await self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @asynccontextmanager
    async def using(self, connection: HttpConnection) -> AsyncIterator[HttpConnection]:
        """Keep the connection afterwards, or close it where its answer was not read to the end."""
        try:
            yield connection
        finally:
            if connection.is_reusable and not self._is_closed:
                self._idle[connection.endpoint.url].append(connection)
            else:
                connection.close()

    async def _check(self, connection: HttpConnection) -> None:
        url = connection.endpoint.url
        answer = await self._exchange(connection, _STATUS_PATH, b"{}")
        if answer.status != _HTTP_OK:
            words = answer.body[:_REASON_BYTES].decode("utf-8", "replace").strip()
            raise ConnectionAbortedError(
                f"asked for its status it answers {answer.status}: {words}"
            )
        try:
            status = decode_reply(answer.body, StatusReply)
        except CorruptRecord as error:
            raise ControlStoreUnfit("this is not an etcd server", endpoint=url) from error
        check_server_version(status.version, endpoint=url)
        self._cluster_id = self._cluster_id or status.header.cluster_id
        if status.header.cluster_id != self._cluster_id:
            raise ControlStoreUnfit(
                "this server belongs to another etcd cluster than the one in use", endpoint=url
            )
        self._checked.add(url)


def _context(tls: EtcdTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context

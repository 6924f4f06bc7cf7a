"""Requests to an etcd cluster: fail-over, proof of identity, deadlines, and errors that say what is known.

Promises
    * A read goes to the next server when one does not answer, or answers that it is of no use now. A write is sent once:
      after that a lost connection, a passed deadline or a refusal is `Unavailable` with an unknown outcome.
    * Every call ends within `call_s`. The server that answered last is asked first.
    * A watch that lost its server's connection to the majority ends, instead of being quiet for ever.

What the requests mean is the business of `objstore.cluster.etcd_control_store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from objstore.cluster.etcd_http import Endpoint, HttpAnswer, HttpConnection
from objstore.cluster.etcd_members import EtcdSettings, Members
from objstore.cluster.etcd_messages import (
    Authenticated,
    Failure,
    WatchFrame,
    WatchReply,
    decode_reply,
    encode_request,
)
from objstore.model.errors import (
    ControlStoreUnfit,
    CorruptRecord,
    HistoryForgotten,
    StorageFull,
    Unavailable,
)

__all__ = ["EtcdClient", "WatchStream"]

T = TypeVar("T")

_HTTP_OK: Final = 200
_CODE_UNAVAILABLE: Final = 14
_LOGIN_PATH: Final = "/v3/auth/authenticate"
_WATCH_PATH: Final = "/v3/watch"
_STALE_TOKEN: Final = ("invalid auth token", "revision of auth store is old", "user name is empty")
"""Refused before anything was done: worth a fresh token and a second attempt."""
_FORGOTTEN: Final = ("revision has been compacted", "is a future revision")
_FULL: Final = "database space exceeded"
_REQUIRE_LEADER: Final = {"Grpc-Metadata-hasleader": "true"}
"""Makes a server that lost its leader end its watches."""
WATCH_LINE_BYTES_MAX: Final = 64 * 1024 * 1024


class EtcdClient:
    """Speaks to the servers of the settings. Use from one event loop."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._members = Members(settings, self._exchange)
        self._slots = asyncio.Semaphore(settings.connections_max)
        self._token = ""

    def close(self) -> None:
        """Drop the connections that nobody uses."""
        self._members.close()

    async def check_servers(self) -> Sequence[str]:
        """Ask every server who it is; return the URLs of those that do not answer.

        Raises `ControlStoreUnfit` if one of the others must not be used: it takes part in the majority, whoever is asked.
        """
        silent: list[str] = []
        for endpoint in self._members.in_turn():
            self._members.forget(endpoint)
            try:
                async with asyncio.timeout(self._settings.attempt_s):
                    connection = await self._members.connect(endpoint)
            except OSError:
                silent.append(endpoint.url)
            else:
                async with self._members.using(connection):
                    continue
        return silent

    async def read(self, path: str, request: dict[str, Any], kind: type[T]) -> T:
        """Ask for what changes nothing; raise `Unavailable` or `HistoryForgotten`."""
        body = encode_request(request)
        try:
            async with asyncio.timeout(self._settings.call_s), self._slots:
                return await self._ask_in_turn(path, body, kind)
        except TimeoutError as error:
            raise Unavailable("etcd did not answer in time") from error

    async def read_at(
        self, endpoint: Endpoint, path: str, request: dict[str, Any], kind: type[T]
    ) -> T:
        """Ask this one server, as `read` does."""
        try:
            async with asyncio.timeout(self._settings.attempt_s), self._slots:
                answer = await self._ask(endpoint, path, encode_request(request))
        except (OSError, TimeoutError) as error:
            raise self._silent(endpoint, error) from error
        return _result(answer, kind, endpoint)

    async def write(self, path: str, request: dict[str, Any], kind: type[T]) -> T:
        """Ask for a change, once; raise `Unavailable` where it is unknown whether it was made."""
        body = encode_request(request)
        try:
            async with asyncio.timeout(self._settings.call_s), self._slots:
                connection = await self._reach()
                return await self._send_once(connection, path, body, kind)
        except TimeoutError as error:
            raise Unavailable("etcd did not answer in time: the outcome is unknown") from error

    async def open_watch(self, create: dict[str, Any]) -> WatchStream:
        """Open a watch and wait until the server made it; raise `Unavailable` or `HistoryForgotten`."""
        try:
            async with asyncio.timeout(self._settings.call_s):
                return await self._start_watch(await self._reach(), create)
        except TimeoutError as error:
            raise Unavailable("etcd did not answer in time") from error

    async def _send_once(
        self, connection: HttpConnection, path: str, body: bytes, kind: type[T]
    ) -> T:
        endpoint = connection.endpoint
        try:
            async with self._members.using(connection):
                answer = await self._exchange(connection, path, body)
        except OSError as error:
            self._drop(endpoint)
            raise Unavailable(
                "the connection to etcd was lost: the outcome is unknown",
                endpoint=endpoint.url,
                reason=_words(error),
            ) from error
        except asyncio.CancelledError:
            # The deadline, or the caller lost patience: either way somebody else is asked first next time.
            self._drop(endpoint)
            raise
        return _result(answer, kind, endpoint)

    async def _start_watch(self, connection: HttpConnection, create: dict[str, Any]) -> WatchStream:
        try:
            proof = await self._proof(connection)
            body = encode_request({"create_request": create})
            connection.send(_WATCH_PATH, body, {**proof, **_REQUIRE_LEADER})
            stream = WatchStream(connection)
            await stream.begin()
        except BaseException as error:
            connection.close()
            self._drop(connection.endpoint)
            # A refused watch gives no reason that can be relied on, and a fresh token is cheap.
            self._token = ""
            if isinstance(error, OSError):
                raise self._silent(connection.endpoint, error) from error
            raise
        return stream

    async def _ask_in_turn(self, path: str, body: bytes, kind: type[T]) -> T:
        failures: list[Unavailable] = []
        for endpoint in self._members.in_turn():
            try:
                async with asyncio.timeout(self._settings.attempt_s):
                    answer = await self._ask(endpoint, path, body)
            except OSError as error:
                failures.append(self._silent(endpoint, error))
            except ControlStoreUnfit as error:
                failures.append(error)
            else:
                if not _is_away(answer):
                    return _result(answer, kind, endpoint)
                failures.append(_refusal(answer, endpoint))
            self._members.pass_over(endpoint)
        raise _weightiest(failures)

    async def _ask(self, endpoint: Endpoint, path: str, body: bytes) -> HttpAnswer:
        async with self._members.using(await self._members.connect(endpoint)) as connection:
            return await self._exchange(connection, path, body)

    async def _reach(self) -> HttpConnection:
        """Return a connection to the first server that can be reached; nothing was sent yet."""
        failures: list[Unavailable] = []
        for endpoint in self._members.in_turn():
            try:
                async with asyncio.timeout(self._settings.attempt_s):
                    return await self._members.connect(endpoint)
            except OSError as error:
                failures.append(self._silent(endpoint, error))
            except ControlStoreUnfit as error:
                failures.append(error)
            self._members.pass_over(endpoint)
        raise _weightiest(failures)

    async def _exchange(self, connection: HttpConnection, path: str, body: bytes) -> HttpAnswer:
        answer = await connection.exchange(path, body, await self._proof(connection))
        if self._settings.user and _is_about(answer, _STALE_TOKEN):
            self._token = ""
            answer = await connection.exchange(path, body, await self._proof(connection))
        return answer

    async def _proof(self, connection: HttpConnection) -> dict[str, str]:
        """Return the headers that prove the user, after a login where there is no token."""
        if not self._settings.user:
            return {}
        if not self._token:
            login = {"name": self._settings.user, "password": self._settings.password}
            answer = await connection.exchange(_LOGIN_PATH, encode_request(login), {})
            self._token = _result(answer, Authenticated, connection.endpoint).token
        return {"Authorization": self._token}

    def _silent(self, endpoint: Endpoint, error: OSError) -> Unavailable:
        self._drop(endpoint)
        return Unavailable("etcd does not answer", endpoint=endpoint.url, reason=_words(error))

    def _drop(self, endpoint: Endpoint) -> None:
        self._members.forget(endpoint)
        self._members.pass_over(endpoint)


class WatchStream:
    """The answer of one watch, which never ends by itself. The owner closes it."""

    def __init__(self, connection: HttpConnection) -> None:
        self.endpoint = connection.endpoint
        self._connection = connection
        self._rest = b""
        self._early: list[WatchReply] = []
        self._failure: Unavailable | None = None

    async def begin(self) -> None:
        """Wait for the first answer; events may come with it. Raises as `receive` does."""
        self._early = await self.receive()

    def close(self) -> None:
        """End the watch."""
        self._connection.close()

    async def receive(self) -> list[WatchReply]:
        """Return what came next. Cancelling it loses nothing.

        Raises `HistoryForgotten` where changes after the start are gone, `Unavailable` when the watch ended otherwise.
        """
        if self._early:
            early, self._early = self._early, []
            return early
        if self._failure is not None:
            raise self._failure
        return self._replies(await self._lines())

    async def _lines(self) -> list[bytes]:
        lines: list[bytes] = []
        while not lines:
            try:
                data = await self._connection.receive()
            except OSError as error:
                raise self._ended(_words(error)) from error
            if not data or len(self._rest) > WATCH_LINE_BYTES_MAX:
                raise self._ended("the stream ended" if not data else "a message is too large")
            *lines, self._rest = (self._rest + data).split(b"\n")
        return [line for line in lines if line]

    def _replies(self, lines: list[bytes]) -> list[WatchReply]:
        """Decode messages; what came before the end of the watch is given before its end is told."""
        replies: list[WatchReply] = []
        for line in lines:
            try:
                replies.append(self._reply(line))
            except Unavailable as error:
                if not replies:
                    raise
                self._failure = error
                break
        return replies

    def _reply(self, line: bytes) -> WatchReply:
        try:
            frame = decode_reply(line, WatchFrame)
        except CorruptRecord as error:
            raise self._ended(str(error)) from error
        if frame.result is None:
            raise self._ended(
                frame.error.message if frame.error else line.decode("utf-8", "replace")
            )
        if frame.result.compact_revision:
            raise HistoryForgotten(revision=frame.result.compact_revision)
        if frame.result.canceled:
            raise self._ended(frame.result.cancel_reason)
        return frame.result

    def _ended(self, reason: str) -> Unavailable:
        return Unavailable("etcd ended a watch", endpoint=self.endpoint.url, reason=reason)


def _result(answer: HttpAnswer, kind: type[T], endpoint: Endpoint) -> T:
    if answer.status != _HTTP_OK:
        raise _refusal(answer, endpoint)
    try:
        return decode_reply(answer.body, kind)
    except CorruptRecord as error:
        raise Unavailable("etcd cannot be understood", endpoint=endpoint.url) from error


def _refusal(answer: HttpAnswer, endpoint: Endpoint) -> Unavailable:
    reason = _failure(answer).text or f"status {answer.status}"
    if any(words in reason for words in _FORGOTTEN):
        return HistoryForgotten(reason=reason)
    if _FULL in reason:
        return StorageFull("etcd has no room", endpoint=endpoint.url)
    return Unavailable("etcd refuses", endpoint=endpoint.url, reason=reason)


def _failure(answer: HttpAnswer) -> Failure:
    try:
        return decode_reply(answer.body, Failure)
    except CorruptRecord:
        return Failure()


def _is_away(answer: HttpAnswer) -> bool:
    """Tell whether the server says that it is of no use now: no leader, no majority, shutting down."""
    return answer.status != _HTTP_OK and _failure(answer).code == _CODE_UNAVAILABLE


def _is_about(answer: HttpAnswer, words: tuple[str, ...]) -> bool:
    return answer.status != _HTTP_OK and any(each in _failure(answer).text for each in words)


def _weightiest(failures: list[Unavailable]) -> Unavailable:
    """Choose what the operator must hear: a server that must not be used before one that is only away."""
    return next((each for each in failures if isinstance(each, ControlStoreUnfit)), failures[-1])


def _words(error: OSError) -> str:
    return str(error) or type(error).__name__

"""The bench's signatures, judged by the server's own verifier."""

from __future__ import annotations

import pytest

from objstore.model.instant import Instant
from objstore.s3.signature import Authenticated, Authenticator, SignedParts, SigningKeyCache
from objstore.server.bench.request import Request
from objstore.server.bench.signer import Credentials, Signer
from objstore.server.settings import Secret

NOON = Instant(1_700_000_000_000)


class Clock:
    """Wall time that the test sets."""

    def __init__(self) -> None:
        self.wall = NOON

    def now(self) -> Instant:
        return self.wall

    def monotonic_s(self) -> float:
        raise AssertionError("the signer is handed readings")


class Users:
    """One user."""

    def secret_of(self, access_key: str) -> str | None:
        return "secret" if access_key == "key" else None


def parts_of(head: bytes) -> tuple[SignedParts, bytes]:
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = first.split(b" ")
    path, _, query = target.partition(b"?")
    pairs = [tuple(line.split(b": ", 1)) for line in lines]
    return SignedParts(method.decode(), path, query, pairs), head


def verified(head: bytes, now: Instant) -> object:
    parts, _ = parts_of(head)
    return Authenticator(Users(), SigningKeyCache()).authenticate(parts, now=now)


REQUESTS = [
    Request(b"GET", b"/bucket/key"),
    Request(b"PUT", b"/bucket/a%20b", b"partNumber=1&uploadId=x", b"body", b"a" * 64),
    Request(b"PUT", b"/bucket/key", b"", b"body", b"UNSIGNED-PAYLOAD"),
    Request(b"POST", b"/bucket/key", b"uploads="),
    Request(b"GET", b"/bucket/key", headers=b"range: bytes=0-1\r\n"),
]


@pytest.mark.parametrize("token", ["", "session-token"])
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: f"{r.method} {r.query}")
def test_server_accepts_what_is_signed(request_, token) -> None:
    """s3 rules 2.2: one wrong byte and every request of a run is refused."""
    signer = Signer(Credentials("key", Secret("secret"), "eu-west-1", token), b"h:9000", Clock())
    found = verified(signer.head(request_, 0.0), NOON)
    assert isinstance(found, Authenticated)
    assert found.access_key == "key"


def test_date_and_key_follow_the_clock() -> None:
    """A run over midnight, or longer than the skew that servers allow, must stay valid."""
    clock = Clock()
    signer = Signer(Credentials("key", Secret("secret"), "us-east-1"), b"h", clock)
    signer.head(REQUESTS[0], 0.0)
    clock.wall = Instant(NOON + 24 * 3_600_000)
    assert isinstance(verified(signer.head(REQUESTS[0], 1.5), clock.wall), Authenticated)


def test_put_without_a_body_says_so() -> None:
    """Servers answer 411 to a PUT without a length."""
    signer = Signer(Credentials("key", Secret("secret"), "us-east-1"), b"h", Clock())
    assert b"\r\ncontent-length: 0\r\n" in signer.head(Request(b"PUT", b"/b"), 0.0)
    assert b"content-length" not in signer.head(Request(b"GET", b"/b"), 0.0)

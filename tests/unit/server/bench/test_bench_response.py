"""The reader of HTTP answers: the same result however the network cuts them."""

from __future__ import annotations

import pytest

from objstore.server.bench.response import HEAD_BYTES_MAX, MalformedAnswer, ResponseParser

COUNTED = b'HTTP/1.1 200 OK\r\nETag: "AbC"\r\nContent-Length: 5\r\n\r\nhello'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n1;x=y\r\nl\r\nA\r\no0123\r\n567\r\n0\r\nx-trailer: 1\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
ANSWERS = {
    "counted": (COUNTED, 200, b"hello"),
    "chunked": (CHUNKED, 200, b"hello0123\r\n567"),
    "after a 100": (CONTINUED, 204, b""),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
}


def parser(*, is_bodiless: bool = False) -> tuple[ResponseParser, list[bytes]]:
    pieces: list[bytes] = []
    found = ResponseParser(lambda piece: pieces.append(bytes(piece)))
    found.expect(is_bodiless=is_bodiless)
    return found, pieces


@pytest.mark.parametrize("name", ANSWERS)
def test_every_split_in_two_reads_the_same(name) -> None:
    """TCP cuts where it likes; a reader that fails at one cut in a thousand spoils figures silently."""
    text, status, body = ANSWERS[name]
    for cut in range(1, len(text)):
        found, pieces = parser()
        assert not found.feed(text[:cut])
        assert found.feed(memoryview(text)[cut:]), cut
        assert (found.status, b"".join(pieces)) == (status, body), cut


@pytest.mark.parametrize("name", ANSWERS)
def test_single_bytes_read_the_same(name) -> None:
    """The slowest network there is."""
    text, status, body = ANSWERS[name]
    found, pieces = parser()
    ends = [found.feed(text[at : at + 1]) for at in range(len(text))]
    assert ends == [False] * (len(text) - 1) + [True]
    assert (found.status, b"".join(pieces)) == (status, body)


def test_headers_keep_their_case_and_are_found_by_any() -> None:
    """An ETag goes back to the server as it came."""
    found, _ = parser()
    found.feed(COUNTED)
    assert found.header(b"etag") == b'"AbC"'
    assert found.header(b"tag") == b""


def test_answer_to_head_has_no_body_whatever_it_announces() -> None:
    """Waiting for the announced bytes would hang the client."""
    found, pieces = parser(is_bodiless=True)
    assert found.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n")
    assert found.header(b"content-length") == b"4096"
    assert pieces == []


def test_body_without_length_ends_with_the_connection() -> None:
    """Old proxies answer errors like that; the connection cannot be used again."""
    found, pieces = parser()
    assert not found.feed(b"HTTP/1.1 503 Slow Down\r\n\r\n<Error>")
    assert not found.feed(b"</Error>")
    assert found.feed_end()
    assert b"".join(pieces) == b"<Error></Error>"
    assert not found.keeps_alive


def test_end_within_a_counted_body_completes_nothing() -> None:
    """A cut answer is an error, never a short success."""
    found, _ = parser()
    found.feed(COUNTED[:-1])
    assert not found.feed_end()
    assert not found.is_done


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n", True),
    ],
)
def test_connection_is_kept_as_the_server_says(head, keeps) -> None:
    """Sending on a connection that the server is closing counts errors that are none of the server's."""
    found, _ = parser()
    assert found.feed(head + b"content-length: 0\r\n\r\n")
    assert found.keeps_alive is keeps


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        COUNTED + b"surplus",
        b"a" * (HEAD_BYTES_MAX + 1),
    ],
)
def test_what_is_no_answer_is_refused(text) -> None:
    """Guessing would turn a broken server into a fast one."""
    found, _ = parser()
    with pytest.raises(MalformedAnswer):
        found.feed(text)


def test_one_reader_reads_many_answers() -> None:
    """Nothing of an answer stays for the next one."""
    found, pieces = parser()
    for text, status, body in ANSWERS.values():
        found.expect(is_bodiless=False)
        pieces.clear()
        assert found.feed(text)
        assert (found.status, b"".join(pieces)) == (status, body)

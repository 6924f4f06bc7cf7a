"""Answers on their way out: complete, or visibly cut."""

from __future__ import annotations

import asyncio

import pytest

from objstore.api.respond import StreamAborted, send_reply, send_stream
from objstore.model.errors import UnreadableData
from objstore.s3.reply import Reply

ENVELOPE = [(b"Server", b"objstore")]


class Sent:
    """Keeps the messages of an answer; may fail at one of them."""

    def __init__(self, fail_at=None):
        self.messages = []
        self._fail_at = fail_at

    async def __call__(self, message):
        if len(self.messages) == self._fail_at:
            raise ConnectionError("gone")
        self.messages.append(message)

    @property
    def headers(self):
        return dict(self.messages[0]["headers"])


def reply_of(status=200, body=b"", length=None):
    return Reply(status, [(b"ETag", b'"x"')], body, length)


@pytest.mark.parametrize(
    ("reply", "is_head", "length", "content"),
    [
        (reply_of(body=b"abc"), False, b"3", b"abc"),
        (reply_of(body=b"abc"), True, b"3", b""),
        (reply_of(length=7), True, b"7", b""),
        (reply_of(204, b"x"), False, None, b""),
        (reply_of(304, b"x"), False, None, b""),
        (reply_of(), False, b"0", b""),
    ],
)
def test_length_and_body_fit_the_status(reply, is_head, length, content):
    """204 and 304 have neither, HEAD has the length alone (s3 rules 1.7.2, 1.7.3)."""
    sent = Sent()
    count = asyncio.run(send_reply(sent, reply, ENVELOPE, is_head=is_head))
    assert count == len(content)
    assert sent.headers.get(b"Content-Length") == length
    assert sent.headers[b"Server"] == b"objstore"
    assert [message.get("body", b"") for message in sent.messages] == [b"", content]


def test_bytes_at_hand_replace_the_body_of_the_reply():
    """Small objects go out in one message, without a copy."""
    sent = Sent()
    data = memoryview(b"0123456789")[2:5]
    asyncio.run(send_reply(sent, reply_of(206, length=3), ENVELOPE, data, is_head=False))
    assert sent.messages[1]["body"] is data


class Chunks:
    """A stream that says whether it was closed."""

    def __init__(self, *pieces):
        self._pieces = pieces
        self.is_closed = False

    async def stream(self):
        try:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.is_closed = True


def test_stream_goes_out_piece_by_piece():
    """The last message ends the answer."""
    sent, chunks = Sent(), Chunks(b"ab", b"cde")
    assert asyncio.run(send_stream(sent, reply_of(length=5), ENVELOPE, chunks.stream())) == 5
    assert sent.headers[b"Content-Length"] == b"5"
    assert [message.get("more_body") for message in sent.messages] == [None, True, True, None]
    assert chunks.is_closed


@pytest.mark.parametrize(
    "pieces",
    [(b"ab", UnreadableData("lost")), (b"ab",), (b"abcdef",), ()],
    ids=["failing", "short", "long", "empty"],
)
def test_stream_that_cannot_be_completed_never_ends_cleanly(pieces):
    """A client must see a short read and never a short success."""
    sent, chunks = Sent(), Chunks(*pieces)
    with pytest.raises(StreamAborted):
        asyncio.run(send_stream(sent, reply_of(length=5), ENVELOPE, chunks.stream()))
    assert all(message.get("more_body") for message in sent.messages[1:])
    assert chunks.is_closed or not pieces


def test_client_that_leaves_ends_the_reading():
    """The drives must not go on reading for nobody."""
    sent, chunks = Sent(fail_at=2), Chunks(b"a", b"b", b"c")
    with pytest.raises(StreamAborted) as caught:
        asyncio.run(send_stream(sent, reply_of(length=3), ENVELOPE, chunks.stream()))
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert chunks.is_closed

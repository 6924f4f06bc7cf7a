"""Heads of answers: framing that cannot be broken from inside."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.model.errors import InvariantError
from objstore.server.http_head import HeadDate, render_error, render_head

DATE = HeadDate()


def render(
    headers,
    *,
    status: int = 200,
    is_head: bool = False,
    keep_alive: bool = True,
    may_chunk: bool = True,
):
    """Render with the usual defaults."""
    return render_head(
        status, headers, DATE, is_head_request=is_head, keep_alive=keep_alive, may_chunk=may_chunk
    )


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_header_can_add_a_line(name, value) -> None:
    """Metadata comes from users; one line break would be a header of theirs, two a whole answer."""
    try:
        head = render([(b"x-" + name, value), (b"Content-Length", b"0")]).head
    except InvariantError:
        return
    ours = {b"date", b"server", b"connection", b"transfer-encoding"} & {name.lower()}
    # A name that stands for a line which is added otherwise takes its place or stays alone.
    assert 6 - len(ours) <= head.count(b"\r\n") == len(head.splitlines()) <= 6


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\nb", b"a\rb", b"a\x00b"])
def test_control_characters_are_refused(value) -> None:
    """Proxies disagree about what they mean."""
    with pytest.raises(InvariantError):
        render([(b"x-amz-meta-a", value)])


def test_date_and_server_are_added_once() -> None:
    """Every answer carries both (s3 rule 1.7.1); two of a kind confuse caches."""
    assert render([]).head.count(b"Server: ") == 1
    own = render([(b"Server", b"objstore"), (b"Date", b"d")]).head
    assert (own.count(b"Server: "), own.count(b"Date: ")) == (1, 1)


def test_answer_without_a_length_is_chunked_or_ends_the_connection() -> None:
    """The client has to know where the body ends."""
    chunked = render([])
    assert chunked.is_chunked
    assert b"Transfer-Encoding: chunked\r\n" in chunked.head
    old = render([], may_chunk=False)
    assert old.is_last
    assert b"Connection: close\r\n" in old.head


@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_answers_announce_nothing(status) -> None:
    """204 has no length and 304 describes a body that does not follow (s3 rule 1.7.3)."""
    rendered = render([], status=status)
    assert rendered.body_bytes == 0
    assert b"Transfer-Encoding" not in rendered.head
    assert b"Content-Length" not in rendered.head


def test_close_asked_by_the_application_is_said_once() -> None:
    """Two Connection headers are legal and break simple clients."""
    rendered = render([(b"connection", b"close"), (b"Content-Length", b"0")], keep_alive=False)
    assert rendered.is_last
    assert rendered.head.lower().count(b"connection: close") == 1


def test_error_document_is_xml_with_its_length() -> None:
    """SDKs read the code from it (s3 rule 1.7.5)."""
    head, _, body = render_error(400, "BadRequest", "a < b", DATE).partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert b"<Message>a &lt; b</Message>" in body


def test_error_document_names_its_request_in_head_and_body() -> None:
    """Support starts from the request id, and clients compare the two (s3 rule 1.7.1); HEAD gets no body (1.7.2)."""
    head, _, body = render_error(400, "BadRequest", "m", DATE).partition(b"\r\n\r\n")
    request_id = head.partition(b"x-amz-request-id: ")[2].partition(b"\r\n")[0]
    host_id = head.partition(b"x-amz-id-2: ")[2].partition(b"\r\n")[0]
    assert re.fullmatch(rb"[0-9A-F]{16}", request_id)
    assert b"<RequestId>%b</RequestId><HostId>%b</HostId>" % (request_id, host_id) in body
    assert render_error(414, "X", "m", DATE, is_head_request=True).endswith(b"\r\n\r\n")

"""Payload lines and what they mean for the body."""

import pytest

from objstore.model.errors import InvalidArgument
from objstore.s3.signature.outcome import PayloadMode, parse_payload


@pytest.mark.parametrize(
    ("line", "mode", "is_chunked", "is_signed_stream"),
    [
        (b"ab" * 32, PayloadMode.SIGNED_HEX, False, False),
        (b"AB" * 32, PayloadMode.SIGNED_HEX, False, False),
        (b"UNSIGNED-PAYLOAD", PayloadMode.UNSIGNED, False, False),
        (b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", PayloadMode.STREAMING_SIGNED, True, True),
        (
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            PayloadMode.STREAMING_SIGNED_TRAILER,
            True,
            True,
        ),
        (
            b"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            PayloadMode.STREAMING_UNSIGNED_TRAILER,
            True,
            False,
        ),
    ],
)
def test_payload_lines(line, mode, is_chunked, is_signed_stream):
    """The line alone says how the body is framed (s3 rules 2.2.9, 2.4.1)."""
    payload = parse_payload(line)
    assert payload.mode is mode
    assert payload.mode.is_chunked is is_chunked
    assert payload.mode.is_signed_stream is is_signed_stream
    assert payload.sha256 == (b"\xab" * 32 if mode is PayloadMode.SIGNED_HEX else b"")


def test_the_name_of_a_mode_is_not_a_payload_line():
    """`sha256` is our word for a digest and must not come in from outside."""
    with pytest.raises(InvalidArgument):
        parse_payload(b"sha256")

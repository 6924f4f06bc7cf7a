"""Coverage of headers and the shape of the refusal."""

import hashlib

import pytest

from objstore.model.errors import AccessDenied
from objstore.s3.signature.verify import (
    check_all_signed,
    signature_mismatch,
    signed_names_of,
    string_to_sign,
)


def test_signed_names_are_brought_into_order():
    """Lower case and ascending, whatever came (s3 rule 2.2.5)."""
    assert signed_names_of(b"host;x-amz-date") == (b"host", b"x-amz-date")
    assert signed_names_of(b"X-Amz-Date;HOST") == (b"host", b"x-amz-date")


def test_only_amz_headers_and_host_must_be_signed():
    """`x-amzn-` and `x-amz` without a dash are other names (s3 rule 2.2.7)."""
    headers = {b"host": b"", b"x-amzn-trace-id": b"", b"x-amz": b"", b"cookie": b""}
    check_all_signed(headers, (b"host",))
    with pytest.raises(AccessDenied) as caught:
        check_all_signed({b"x-amz-b": b"", b"x-amz-a": b""}, (b"x-amz-c",))
    assert caught.value.detail == {"headers_not_signed": "host, x-amz-b, x-amz-a"}


def test_string_to_sign():
    """The four lines of s3 rule 2.2.12."""
    text = string_to_sign(b"D", b"S", b"request")
    digest = hashlib.sha256(b"request").hexdigest().encode()
    assert text == b"AWS4-HMAC-SHA256\nD\nS\n" + digest


def test_refusal_survives_bytes_that_are_no_text():
    """Header values may be any bytes; the error document must still be text (2.2.15)."""
    error = signature_mismatch(b"\xff", b"a\xff", "AK", b"GET\n\xfe")
    assert error.detail["signature_provided"] == "\N{REPLACEMENT CHARACTER}"
    assert error.detail["canonical_request_bytes"] == "47 45 54 0A FE"
    assert error.detail["string_to_sign_bytes"] == "61 FF"
    assert "canonical_request" not in signature_mismatch(b"a", b"b", "AK").detail

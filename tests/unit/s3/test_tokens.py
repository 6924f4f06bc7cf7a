"""Continuation tokens."""

import base64

import pytest

from objstore.model.errors import InvalidArgument
from objstore.s3.tokens import bucket_listing, decode_token, encode_token, object_listing

HERE = object_listing("bucket", prefix=b"p", delimiter=b"/")


def test_any_position_survives_url_and_xml():
    """Keys are arbitrary text, tokens are letters and digits (s3 rule 5.3.2)."""
    position = "a/é&<>\x01".encode() + bytes(range(256))
    token = encode_token(position, context=HERE)
    assert token.replace("-", "a").replace("_", "a").isalnum()
    assert decode_token(token, context=HERE) == position


@pytest.mark.parametrize(
    "other",
    [
        object_listing("other", prefix=b"p", delimiter=b"/"),
        object_listing("bucket", prefix=b"q", delimiter=b"/"),
        object_listing("bucket", prefix=b"p", delimiter=b""),
        object_listing("bucket", prefix=b"p/", delimiter=b""),
        bucket_listing("p"),
    ],
)
def test_a_token_leads_back_to_its_own_listing_only(other):
    """Elsewhere the position would mean something else (s3 rule 5.3.2)."""
    token = encode_token(b"k", context=HERE)
    with pytest.raises(InvalidArgument):
        decode_token(token, context=other)


GOOD = encode_token(b"kkk", context=HERE)
OF_ANOTHER_VERSION = base64.urlsafe_b64encode(b"\x02" + base64.urlsafe_b64decode(GOOD)[1:]).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "A",
        "AQ",
        "====",
        "é",
        "k" * 40,
        GOOD + "=",
        GOOD[:4] + "!" + GOOD[4:],
        OF_ANOTHER_VERSION,
    ],
)
def test_garbage_is_refused(token):
    """A key typed in place of a token must not start somewhere (s3 rule 5.3.2)."""
    with pytest.raises(InvalidArgument) as caught:
        decode_token(token, context=HERE)
    assert caught.value.message == "The continuation token provided is incorrect"
    assert caught.value.detail == {
        "argument_name": "continuation-token",
        "argument_value": token,
    }

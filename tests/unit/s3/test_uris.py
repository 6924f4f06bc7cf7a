"""Keys inside URLs."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.model.names import ObjectKey
from objstore.s3.uris import encode_key


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"a/b", "a/b"),
        (b"a b+c", "a%20b%2Bc"),
        ("é?#%".encode(), "%C3%A9%3F%23%25"),
        (b"-._~", "-._~"),
        (b"/x//y/", "/x//y/"),
    ],
)
def test_key_as_the_path_of_a_url(key, text):
    """Slashes stay, everything else but unreserved characters is escaped (s3 rule 1.2.12)."""
    assert encode_key(ObjectKey(key)) == text


@given(st.text(max_size=30))
def test_encoding_can_be_taken_back(text):
    """A client that follows `Location` must reach the same key (s3 rule 4.11.6)."""
    key = text.encode("utf-8", "surrogatepass")
    encoded = encode_key(ObjectKey(key))
    assert encoded.isascii()
    assert unquote_to_bytes(encoded) == key

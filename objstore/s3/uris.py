"""Percent-encoding of keys where answers carry them inside a URL (s3 rule 1.2.12)."""

from __future__ import annotations

from urllib.parse import quote

from objstore.model.names import ObjectKey

__all__ = ["encode_key"]

_UNRESERVED = "/-._~"


def encode_key(key: ObjectKey) -> str:
    """Return a key as the path of a URL; `/` stays, everything else but unreserved characters is escaped."""
    return quote(key, safe=_UNRESERVED)

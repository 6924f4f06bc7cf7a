"""Signing keys: derived from a secret for one day and region, and kept for the next request.

It promises a cache of bounded size whose entries were all earned by a valid signature: the caller
stores a key after verification, so that requests with made-up regions evict nothing. It does not
know when a key is disabled; the source of secrets is asked for every request.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from objstore.model.errors import check

__all__ = [
    "SERVICE",
    "SIGNING_KEYS_MAX",
    "TERMINAL",
    "SigningKey",
    "SigningKeyCache",
    "derive_signing_key",
]

SERVICE: Final = "s3"
TERMINAL: Final = "aws4_request"
_HASH_BLOCK_BYTES: Final = 64
SIGNING_KEYS_MAX: Final = 4096
"""Keys kept by default: about 1 MiB, enough for every user of a busy gateway for a day."""


def derive_signing_key(secret: str, *, date: str, region: str) -> bytes:
    """Return the 32-byte key for one secret, day (`yyyymmdd`) and region (s3 rule 2.2.12)."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, SERVICE, TERMINAL):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class SigningKey:
    """A key ready for use: the two hashes of HMAC-SHA256 that depend on it alone are done once. Never print it."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        check(len(key) <= _HASH_BLOCK_BYTES, "a longer key of HMAC is hashed first")
        padded = key.ljust(_HASH_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in padded]))
        self._outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in padded]))

    def sign(self, text: bytes) -> bytes:
        """Return HMAC-SHA256 (RFC 2104) in lower-case hex.

        On `hashlib` alone it costs half of `hmac.digest`, which also gives the interpreter lock back for so short a text,
        and two thirds of a copied `hmac.HMAC`.
        """
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest().encode("ascii")


class SigningKeyCache:
    """Derived keys by (secret, date, region); the oldest entry leaves first when it is full.

    Owned by the caller and used from one thread. It holds key material: never print it.
    """

    __slots__ = ("_capacity", "_keys")

    def __init__(self, capacity: int = SIGNING_KEYS_MAX) -> None:
        check(capacity > 0, "a signing key cache needs room for one key")
        self._capacity = capacity
        self._keys: dict[tuple[str, str, str], SigningKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def key_for(self, secret: str, *, date: str, region: str) -> SigningKey:
        """Return the signing key, from the cache or newly derived; the cache does not change."""
        key = self._keys.get((secret, date, region))
        if key is not None:
            return key
        return SigningKey(derive_signing_key(secret, date=date, region=region))

    def keep(self, key: SigningKey, *, secret: str, date: str, region: str) -> None:
        """Remember a key whose signature proved right."""
        keys = self._keys
        name = (secret, date, region)
        if name in keys:
            return
        if len(keys) >= self._capacity:
            del keys[next(iter(keys))]
        keys[name] = key

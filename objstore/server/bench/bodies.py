"""The bytes of objects: the same in every process for one number, checked without keeping copies.

All bodies are windows of one pool that no compression shortens; sixteen windows (two for large objects) are in use, so that an
answer with another object's bytes is found out, and no hash is computed while a measurement runs.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

from objstore.model.limits import MIB
from objstore.server.bench.request import EMPTY_HASH, Expected

__all__ = ["BODY_BYTES_MAX", "Bodies"]

BODY_BYTES_MAX: Final = 1024 * MIB
"""A process holds one body in memory."""
_SHIFT_BYTES: Final = 61
_VARIANTS: Final = 16
_VARIANTS_LARGE: Final = 2
_LARGE_BYTES: Final = 4 * MIB
_UNSIGNED: Final = b"UNSIGNED-PAYLOAD"


class Bodies:
    """Bodies of one size. The pool of a size is made once per process."""

    __slots__ = ("_hashes", "_pool", "_variants", "_view", "is_signed", "size_bytes")

    def __init__(self, size_bytes: int, *, is_signed: bool = True) -> None:
        self.size_bytes = size_bytes
        self.is_signed = is_signed
        self._variants = _VARIANTS if size_bytes < _LARGE_BYTES else _VARIANTS_LARGE
        self._pool = _pool(size_bytes)
        self._view = memoryview(self._pool)
        self._hashes: dict[tuple[int, int], bytes] = {}

    def window(self, number: int, start: int = 0, length: int | None = None) -> memoryview:
        """Return bytes of the body with this number; all of it, or `length` bytes from `start`."""
        at = self._offset(number) + start
        return self._view[at : at + (self.size_bytes if length is None else length)]

    def expected(self, number: int, start: int = 0, length: int | None = None) -> Expected:
        """Return what must come back for the same window."""
        whole = self.size_bytes if length is None else length
        return Expected(self._pool, self._offset(number) + start, whole)

    def hash_of(self, number: int, start: int = 0, length: int | None = None) -> bytes:
        """Return the payload line of a window: its SHA-256 in hex, kept, or `UNSIGNED-PAYLOAD`."""
        if not self.is_signed:
            return _UNSIGNED
        whole = self.size_bytes if length is None else length
        if not whole:
            return EMPTY_HASH
        name = (self._offset(number) + start, whole)
        known = self._hashes.get(name)
        if known is None:
            window = self.window(number, start, whole)
            known = self._hashes[name] = hashlib.sha256(window).hexdigest().encode()
        return known

    def warm(self, part_bytes: int | None = None) -> None:
        """Compute the hashes of all windows that will be sent: whole bodies, or their parts."""
        step = part_bytes or max(1, self.size_bytes)
        for number in range(self._variants):
            for start in range(0, self.size_bytes, step):
                self.hash_of(number, start, min(step, self.size_bytes - start))

    def _offset(self, number: int) -> int:
        return number % self._variants * _SHIFT_BYTES


@cache
def _pool(size_bytes: int) -> bytes:
    return hashlib.shake_128(b"objstore-bench").digest(size_bytes + _VARIANTS * _SHIFT_BYTES)

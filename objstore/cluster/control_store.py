"""The control store: the little state that all must agree on. A port with an adapter for one machine (SQLite) and one for
several (etcd).

Keys are paths of ASCII text, values are small byte strings. Every change makes a new revision of the whole store.
It is never on the data path: a caller that holds what it read before goes on without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from objstore.model.errors import check

__all__ = ["VALUE_BYTES_MAX", "Change", "ControlStore", "Item", "check_value"]

VALUE_BYTES_MAX: Final = 1024 * 1024
"""Larger values are a bug of the caller; etcd takes requests of 1.5 MiB."""


@dataclass(frozen=True, slots=True)
class Item:
    """A key with its value and the revision that wrote it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change seen by a watch; `value` is None for a removal."""

    key: str
    value: bytes | None
    revision: int


class ControlStore(Protocol):
    """Linearizable key-value store with compare-and-set and watches.

    Every method raises `Unavailable` when the store cannot be reached; a change may then have happened or not.
    """

    async def revision(self) -> int:
        """Return the revision of the last change, 0 before the first.

        Who takes it, then lists, then watches after it, misses nothing; changes may come that the listing showed already.
        """
        ...

    async def get(self, key: str) -> Item | None:
        """Return the item, or None."""
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """Return items in order of key, strictly after `after` (a whole key); limit 0 = all."""
        ...

    async def put(
        self, key: str, value: bytes, *, expected_revision: int | None = None
    ) -> int | None:
        """Write and return the new revision.

        With `expected_revision` (0 = must not exist) the write happens only if the item's revision still is that one;
        otherwise nothing changes and None is returned.
        """
        ...

    async def delete(self, key: str, *, expected_revision: int | None = None) -> bool:
        """Remove; False if there was nothing, or the expected revision was another."""
        ...

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield every later change below a prefix, in order, without gaps.

        Raises `HistoryForgotten` where changes after the revision are not kept any more.
        """
        ...


def check_value(value: bytes) -> None:
    """Raise `InvariantError` for a value that no adapter would take."""
    check(len(value) <= VALUE_BYTES_MAX, "a value of the control store is too large")

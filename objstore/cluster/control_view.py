"""What a node knows of a part of the control store: kept in memory, kept up to date, and kept when the store is away.

The data plane asks a view, never the store: looking something up is a dictionary access, and with the store stopped what
was named before keeps working (reliability rule T14). A view follows the store for as long as `follow` runs:

    revision -> list -> watch after the revision -> ... -> history forgotten, or store away: begin again, after a wait

It misses nothing between listing and watching, and never goes back to an older value of an item. It may be behind, and an
item that came and went while the listing was read may show for a moment; nothing whose safety depends on being current may
be decided from it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from objstore.cluster.control_store import Change, ControlStore, Item
from objstore.model.errors import HistoryForgotten, Unavailable

__all__ = ["ControlView"]

RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 5.0


class ControlView:
    """The items below a prefix. Use from one event loop."""

    def __init__(
        self,
        store: ControlStore,
        prefix: str,
        *,
        jitter: random.Random,
        on_change: Callable[[Change], None],
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._jitter = jitter
        self._on_change = on_change
        self._items: dict[str, Item] = {}
        self._revision = 0
        self.loaded = asyncio.Event()
        """Set when the store was read for the first time."""
        self.is_following = False
        """Whether the store could be heard the last time that it was tried."""

    def get(self, key: str) -> Item | None:
        """Return what is known of an item."""
        return self._items.get(key)

    def items(self) -> Sequence[Item]:
        """Return all items that are known, in order of key."""
        return [self._items[key] for key in sorted(self._items)]

    async def follow(self) -> None:
        """Keep up with the store until cancelled. An error that is not `Unavailable` ends it."""
        delay_s = RETRY_MIN_S
        while True:
            try:
                await self._load()
                delay_s = RETRY_MIN_S
                await self._keep_up()
            except HistoryForgotten:
                delay_s = RETRY_MIN_S
            except Unavailable:
                self.is_following = False
            await asyncio.sleep(delay_s * self._jitter.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, RETRY_MAX_S)

    async def _load(self) -> None:
        """Read everything, and tell of what changed since the last time."""
        revision = await self._store.revision()
        found = {item.key: item for item in await self._store.list(self._prefix)}
        if revision < self._revision:
            # The store was put back to an earlier state: what it says now counts, whatever it said before.
            self._items = {key: Item(key, item.value, 0) for key, item in self._items.items()}
        for key in sorted(self._items.keys() - found.keys()):
            self._take(Change(key, None, revision))
        for item in found.values():
            self._take(Change(item.key, item.value, item.revision))
        self._revision = revision
        self.is_following = True
        self.loaded.set()

    async def _keep_up(self) -> None:
        async for change in self._store.watch(self._prefix, after_revision=self._revision):
            self._take(change)
            self._revision = change.revision
            self.is_following = True

    def _take(self, change: Change) -> None:
        """Apply a change unless it is known: the listing may have shown it already."""
        known = self._items.get(change.key)
        if known is not None and known.revision >= change.revision:
            return
        if change.value is not None:
            self._items[change.key] = Item(change.key, change.value, change.revision)
        elif self._items.pop(change.key, None) is None:
            return
        self._on_change(change)

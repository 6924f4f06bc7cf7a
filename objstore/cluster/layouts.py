"""Versions of a ring's layout on the control store: numbered without gaps, immutable, never removed while in use.

Each version has a key of its own, `layouts/<ring>/<version>`, that is created and never written again. So publishing is one
compare-and-set: version n + 1 can be created by one publisher only, and only once version n is there. The last key below the
prefix is the current version; a watch of the prefix sees every new one. What a layout says is the placement's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from objstore.cluster.control_store import ControlStore, Item

__all__ = ["LAYOUTS_PREFIX", "Layout", "current_layout", "decode_layout", "publish_layout"]

LAYOUTS_PREFIX: Final = "layouts/"
_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """One published version; `body` is opaque here."""

    version: int
    body: bytes


def decode_layout(item: Item) -> Layout:
    """Return the layout that an item holds."""
    return Layout(int(item.key.rpartition("/")[2]), item.value)


async def current_layout(store: ControlStore, ring: str) -> Layout | None:
    """Return the last published version, or None before the first; raise `Unavailable`."""
    items = await store.list(_prefix(ring))
    return decode_layout(items[-1]) if items else None


async def publish_layout(store: ControlStore, ring: str, layout: Layout) -> bool:
    """Publish a version; False, and nothing changed, unless the one before it is the current one.

    Raises `Unavailable` where it is unknown whether it was published: then look at `current_layout`.
    """
    if layout.version > 1 and await store.get(_key(ring, layout.version - 1)) is None:
        return False
    revision = await store.put(_key(ring, layout.version), layout.body, expected_revision=0)
    return revision is not None


def _prefix(ring: str) -> str:
    return f"{LAYOUTS_PREFIX}{ring}/"


def _key(ring: str, version: int) -> str:
    return f"{_prefix(ring)}{version:0{_DIGITS}d}"

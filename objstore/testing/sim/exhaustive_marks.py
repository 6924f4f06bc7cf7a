"""Copies and fingerprints of a core: what the exhaustive search takes for the state of a replica.

All attributes count, wherever they are kept, and so does every one that the core gains, but for those named here.
"""

from __future__ import annotations

import copy
import types
from collections import deque
from collections.abc import Hashable
from enum import Enum
from typing import Any

import msgspec

from objstore.consensus import PartitionLog, Role

__all__ = ["copied_core", "frozen", "mark_of", "mark_of_rest", "mark_of_role"]

_ALWAYS_SKIPPED = frozenset(
    {
        "config",
        "_handlers",
        "_inflight_bytes",
        "_soft_state",
        "_hint",
        "_now",
        "_traces",
        "_out",
        "_out_leads",
    }
)
"""Who it is, bounds that no scope reaches, hints for callers, and what is empty between two steps."""
_TIMERS = frozenset({"_resend_at", "_retry_at"})
_OF_TIMERS = _TIMERS | {"commit_known"}
_OF_LEADERS = frozenset({"_durable", "_opening_index"})
_OF_CANDIDATES = frozenset({"_promises", "_source"})
"""Set anew by whoever becomes that."""
_OF_ROLES = ("_role", "_durable", "_opening_index", "_progress", "_promises", "_source")
_OF_READS = frozenset({"_rounds", "_round"})

_REST_SKIPPED = _ALWAYS_SKIPPED | _OF_TIMERS | _OF_READS | frozenset(_OF_ROLES)

_VALUES = (int, str, bytes, type(None), Enum, msgspec.Struct, type)


def copied_core(core: PartitionLog) -> PartitionLog:
    """Copy a core that has no Ready out, as deep as it is changed by its own methods."""
    twin = copy.copy(core)
    for name in _names(core):
        setattr(twin, name, _copied(getattr(core, name), core, twin))
    return twin


def _copied(value: Any, core: PartitionLog, twin: PartitionLog) -> Any:
    kind = type(value)
    if isinstance(value, _VALUES):
        return value
    if kind in {list, tuple, deque}:
        return kind([_copied(item, core, twin) for item in value])
    if kind is dict:
        return {key: _copied(item, core, twin) for key, item in value.items()}
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, twin)
    copied = copy.copy(value)
    for name in _names(value):
        setattr(copied, name, _copied(getattr(value, name), core, twin))
    return copied


def _names(value: object) -> list[str]:
    """Return the attributes that an object has, wherever it keeps them: in slots, those of its bases too, or in a dict."""
    names = [name for name in _SLOTS[type(value)] if hasattr(value, name)]
    names += getattr(value, "__dict__", ())
    return names


class _SlotsOf(dict[type, tuple[str, ...]]):
    """The slots of each class, with those of its bases, looked up once."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        found: list[str] = []
        for base in reversed(kind.__mro__):
            slots = base.__dict__.get("__slots__", ())
            found += (slots,) if isinstance(slots, str) else slots
        slots_of = tuple(name for name in found if name not in {"__dict__", "__weakref__"})
        self[kind] = slots_of
        return slots_of


_SLOTS = _SlotsOf()


def mark_of(core: PartitionLog, *, ticks: bool) -> Hashable:
    """Return everything in a core that can matter later."""
    skipped = _ALWAYS_SKIPPED if ticks else _ALWAYS_SKIPPED | _OF_TIMERS
    if core._role is not Role.LEADER:
        skipped |= _OF_LEADERS
    if core._role is not Role.CANDIDATE:
        skipped |= _OF_CANDIDATES
    return frozen(core, skipped)


def mark_of_rest(core: PartitionLog) -> Hashable:
    """Return what matters of a core whatever its role and its open reads."""
    return frozen(core, _REST_SKIPPED)


def mark_of_role(core: PartitionLog) -> Hashable:
    """Return what its role adds to it; a follower's adds nothing."""
    if core._role is Role.FOLLOWER:
        return None
    skipped = _OF_LEADERS if core._role is Role.CANDIDATE else _OF_CANDIDATES
    return tuple(
        [frozen(getattr(core, name), _OF_TIMERS) for name in _OF_ROLES if name not in skipped]
    )


def frozen(value: Any, skipped: frozenset[str]) -> Hashable:
    """Return all that is in a value, but for attributes of these names."""
    kind = type(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, _VALUES):
        return value
    if kind in {list, tuple, deque}:
        return tuple([frozen(item, skipped) for item in value])
    if kind is dict:
        return tuple([(key, frozen(item, skipped)) for key, item in value.items()])
    return tuple(
        [
            (getattr(value, name) is None)
            if name in _TIMERS
            else frozen(getattr(value, name), skipped)
            for name in _names(value)
            if name not in skipped
        ]
    )

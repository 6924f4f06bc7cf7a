"""Page-aligned memory for bodies: what a drive can write and read without copies in between.

Fresh memory is dear: the kernel clears each page when it is first touched, and on a virtual machine the host does so again.
So buffers are used again. Nobody gives one back: a buffer is free when nothing refers to it any more, which the reference
count of its memory tells. A drive that hangs in a write, or a client that does not read, keeps its buffer; no
bookkeeping can hand out memory that is still in use.

What a buffer held before stays in it: callers show only what they have filled. Kept memory is bounded by
`kept_bytes_max`; beyond it buffers are made for one use. Safe in several threads.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from threading import Lock
from typing import Final

from objstore.model.errors import check
from objstore.model.limits import KIB, MIB
from objstore.storage.format import Buffer

__all__ = ["ALIGNMENT_BYTES", "AlignedBuffers", "is_aligned"]

ALIGNMENT_BYTES: Final = 4 * KIB
"""What every drive of today takes for address, offset and length of a direct transfer."""
_HUGE_BYTES_MIN: Final = 2 * MIB
"""From here on the kernel is asked for large pages: a transfer of 8 MiB then costs half the processor time."""
_CLASS_BYTES_MIN: Final = 64 * KIB
_REFERENCES_WHEN_FREE: Final = 3
"""The shelf, the variable of the loop, and the argument of `getrefcount`. A view adds one."""


class AlignedBuffers:
    """Hands out buffers and takes them again when nobody uses them."""

    def __init__(self, *, kept_bytes_max: int) -> None:
        self._kept_bytes_max = kept_bytes_max
        self._kept_bytes = 0
        self._shelves: dict[int, list[mmap.mmap]] = {}
        self._lock = Lock()

    @property
    def kept_bytes(self) -> int:
        """Memory that is kept for use again, in use or not."""
        return self._kept_bytes

    def take(self, size: int) -> memoryview:
        """Return a writable buffer of that many bytes, aligned, with arbitrary content."""
        check(size > 0, "a buffer has at least one byte")
        class_bytes = _class_of(size)
        with self._lock:
            region = self._free_one(class_bytes) or self._make(class_bytes)
            return memoryview(region)[:size]

    def _free_one(self, class_bytes: int) -> mmap.mmap | None:
        for region in self._shelves.get(class_bytes, ()):
            if sys.getrefcount(region) == _REFERENCES_WHEN_FREE:
                return region
        return None

    def _make(self, class_bytes: int) -> mmap.mmap:
        region = _allocate(class_bytes)
        if self._kept_bytes + class_bytes > self._kept_bytes_max:
            self._forget_free()
        if self._kept_bytes + class_bytes <= self._kept_bytes_max:
            self._shelves.setdefault(class_bytes, []).append(region)
            self._kept_bytes += class_bytes
        return region

    def _forget_free(self) -> None:
        """Make room for the sizes that are wanted now."""
        for class_bytes, shelf in self._shelves.items():
            # A comprehension has a frame of its own: shelf, variable and argument, as above.
            used = [region for region in shelf if sys.getrefcount(region) > _REFERENCES_WHEN_FREE]
            self._kept_bytes -= class_bytes * (len(shelf) - len(used))
            self._shelves[class_bytes] = used


def is_aligned(buffer: Buffer) -> bool:
    """Tell whether a drive can write from this memory directly; only known for writable views."""
    if not isinstance(buffer, memoryview) or buffer.readonly or len(buffer) < ALIGNMENT_BYTES:
        return False
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return address % ALIGNMENT_BYTES == 0


def _class_of(size: int) -> int:
    """Powers of two, so that a size that comes again finds a buffer, at most twice as large."""
    return max(_CLASS_BYTES_MIN, 1 << (size - 1).bit_length())


def _allocate(size: int) -> mmap.mmap:
    region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _HUGE_BYTES_MIN and hasattr(mmap, "MADV_HUGEPAGE"):
        region.madvise(mmap.MADV_HUGEPAGE)
    return region

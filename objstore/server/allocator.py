"""How the C library keeps memory between requests.

Bodies pass through buffers of 64 KiB to some MiB that live for a moment. With its defaults glibc gives such memory back to
the kernel each time, and each time the kernel clears the pages anew: a quarter of the system time of an upload. Keeping at
most `_KEPT_BYTES` at the top of the heap ends that. Elsewhere than on glibc nothing is changed.
"""

from __future__ import annotations

import ctypes
from typing import Final

from objstore.model.limits import MIB

__all__ = ["keep_freed_memory"]

_KEPT_BYTES: Final = 32 * MIB
_OWN_MAPPING_BYTES_MIN: Final = 8 * MIB
_GROWTH_BYTES: Final = 1 * MIB
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def keep_freed_memory() -> bool:
    """Tell the allocator to keep what is freed; return whether it understood. For the whole process, at its start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = (
        (_MMAP_THRESHOLD, _OWN_MAPPING_BYTES_MIN),
        (_TRIM_THRESHOLD, _KEPT_BYTES),
        (_TOP_PAD, _GROWTH_BYTES),
    )
    return all(mallopt(name, value) for name, value in wanted)

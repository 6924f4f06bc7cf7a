"""Buffers are aligned, used again, and never while somebody still looks at them."""

from __future__ import annotations

import ctypes
import threading

import pytest

from objstore.model.errors import InvariantError
from objstore.model.limits import KIB, MIB
from objstore.storage.aligned import ALIGNMENT_BYTES, AlignedBuffers, is_aligned


def address(view):
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


@pytest.mark.parametrize("size", [1, 4096, 64 * KIB, 64 * KIB + 1, MIB, 2 * MIB, 8 * MIB])
def test_buffer_is_aligned_and_of_the_size_asked_for(size):
    """A direct transfer takes nothing else."""
    view = AlignedBuffers(kept_bytes_max=MIB).take(size)
    assert len(view) == size
    assert address(view) % ALIGNMENT_BYTES == 0
    view[-1] = 1


def test_memory_is_used_again_once_nobody_refers_to_it():
    """Fresh pages cost more than the copy into them."""
    buffers = AlignedBuffers(kept_bytes_max=MIB)
    first = buffers.take(100_000)
    place = address(first)
    second = buffers.take(100_000)
    assert address(second) != place
    del first
    assert address(buffers.take(90_000)) == place
    assert buffers.kept_bytes == 2 * 128 * KIB


def test_any_view_keeps_the_memory():
    """A drive that hangs, or a client that does not read, still needs the bytes: they must not become another body's."""
    buffers = AlignedBuffers(kept_bytes_max=MIB)
    first = buffers.take(100_000)
    place = address(first)
    part = memoryview(first)[50_000:60_000].toreadonly()
    del first
    assert address(buffers.take(100_000)) != place
    del part
    assert address(buffers.take(100_000)) == place


def test_kept_memory_is_bounded_and_goes_to_the_sizes_in_use():
    """Idle memory of yesterday's sizes makes room for today's; what is in use is never dropped."""
    buffers = AlignedBuffers(kept_bytes_max=512 * KIB)
    used = buffers.take(128 * KIB)
    used[0] = 77
    buffers.take(256 * KIB)
    assert buffers.kept_bytes == 384 * KIB
    large = buffers.take(400 * KIB)
    assert buffers.kept_bytes == 128 * KIB, (
        "the idle one went, and 512 KiB do not fit beside the used one"
    )
    assert used[0] == 77
    del large, used
    assert len(buffers.take(400 * KIB)) == 400 * KIB
    assert buffers.kept_bytes == 512 * KIB


def test_threads_never_share_a_buffer():
    """Drives read in threads; two takers of one buffer would send the bytes of each other."""
    buffers = AlignedBuffers(kept_bytes_max=MIB)
    mixed = []

    def work(number):
        for _ in range(2_000):
            view = buffers.take(8)
            view[:] = bytes([number]) * 8
            if bytes(view) != bytes([number]) * 8:
                mixed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mixed


def test_only_aligned_writable_memory_counts():
    """What cannot be judged is written the ordinary way."""
    view = AlignedBuffers(kept_bytes_max=MIB).take(3 * ALIGNMENT_BYTES)
    assert is_aligned(view)
    assert is_aligned(view[ALIGNMENT_BYTES : ALIGNMENT_BYTES + 4097])
    assert not is_aligned(view[1:])
    assert not is_aligned(view[:100])
    assert not is_aligned(view.toreadonly())
    assert not is_aligned(bytes(view))


def test_empty_buffer_is_a_fault_of_the_caller():
    """Nothing would ever be read into it."""
    with pytest.raises(InvariantError):
        AlignedBuffers(kept_bytes_max=MIB).take(0)

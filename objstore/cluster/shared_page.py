"""A page of numbers that one process writes and its children read: what must be known at once, without asking.

The page is anonymous memory. A child gets its descriptor when it is started, and maps it; nothing has a name in a file
system, and nothing is left behind. A number is one aligned word of 64 bits, so that a reader sees the old one or the new
one and never half of each. Whoever writes first and answers a client afterwards is seen in that order by everybody who hears
of the answer: it passes through the kernel, which orders both.

What a page says holds while its owner lives. A reader therefore looks at the word first and then at who its parent is: the
kernel gives children of a process that ended to another one.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

from objstore.model.errors import Unavailable

__all__ = ["WORDS_COUNT", "PageReader", "SharedPage"]

WORDS_COUNT: Final = 512
_WORD_BYTES: Final = 8


class SharedPage:
    """The owner's side; all words are 0 at first."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("objstore-page", os.MFD_CLOEXEC)
        """To be handed to children."""
        os.ftruncate(self.descriptor, WORDS_COUNT * _WORD_BYTES)
        self._map = mmap.mmap(self.descriptor, WORDS_COUNT * _WORD_BYTES)
        self._words = memoryview(self._map).cast("Q")

    def __getitem__(self, index: int) -> int:
        """Return a word."""
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        """Write a word; every reader that looks from now on sees it."""
        self._words[index] = value

    def close(self) -> None:
        """Give the page up; children keep theirs."""
        self._words.release()
        self._map.close()
        os.close(self.descriptor)


class PageReader:
    """A child's side. Takes over the descriptor, which it closes."""

    def __init__(self, descriptor: int, *, owner_pid: int) -> None:
        self._map = mmap.mmap(descriptor, WORDS_COUNT * _WORD_BYTES, prot=mmap.PROT_READ)
        os.close(descriptor)
        self._words = memoryview(self._map).cast("Q")
        self._owner_pid = owner_pid

    def __getitem__(self, index: int) -> int:
        """Return a word that its owner, alive, stands by; raise `Unavailable` when the owner is gone."""
        value = self._words[index]
        if os.getppid() != self._owner_pid:
            raise Unavailable("the process that owns the data is gone")
        return value

    def close(self) -> None:
        """Give the page up."""
        self._words.release()
        self._map.close()

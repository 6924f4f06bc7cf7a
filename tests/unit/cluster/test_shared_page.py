"""A page between processes: what its reader may believe, and until when."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from objstore.cluster.shared_page import WORDS_COUNT, PageReader, SharedPage
from objstore.model.errors import Unavailable

CHILD = """
import os, sys
from objstore.cluster.shared_page import PageReader
page = PageReader(int(sys.argv[1]), owner_pid=int(sys.argv[2]))
for line in sys.stdin:
    print(page[int(line)], flush=True)
"""


def test_a_child_sees_every_word_as_it_is_now() -> None:
    """A worker decides by the page alone whether a file may be read: an old word would be a stale answer."""
    page = SharedPage()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(page.descriptor), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(page.descriptor,),
        text=True,
    ) as child:
        for number, index in enumerate((0, 1, WORDS_COUNT - 1, 0, 1)):
            page[index] = 2**60 + number
            child.stdin.write(f"{index}\n")
            child.stdin.flush()
            assert int(child.stdout.readline()) == 2**60 + number == page[index]
        child.stdin.close()
    page.close()


def test_words_of_an_owner_that_is_gone_count_for_nothing() -> None:
    """The next owner names other leaders, and nobody takes back what stands in the page of the last one."""
    page = SharedPage()
    page[3] = 7
    reader = PageReader(os.dup(page.descriptor), owner_pid=os.getppid() + 1)
    with pytest.raises(Unavailable):
        reader[3]
    reader.close()
    page.close()

"""The same random requests on stores that differ in everything that a client must not notice."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from objstore.testing.certificates import make_certificates
from objstore.testing.s3_arena import Arena, play_examples, quick_directory
from objstore.testing.s3_machine import S3Machine
from objstore.testing.server import S3Server

EXAMPLES = 20
STEPS = 40
COMMAND = ".venv/bin/python -m pytest -q tests/properties/test_s3_metamorphic.py"


def config(*, inline_limit, block=65_536):
    """Return settings: what is kept inline, and the size of a block."""
    return f"inline_limit_bytes = {inline_limit}\nblock_bytes = {block}\n"


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    """Seven stores: usual, six directories, nothing inline, much inline, two processes, two on six directories, https."""
    tls = make_certificates(tmp_path_factory.mktemp("tls"))
    usual = config(inline_limit=16_384)
    with ExitStack() as stack:
        root = stack.enter_context(quick_directory())
        two_workers = S3Server([root / "workers"], config=usual, arguments=["--workers", "2"])
        of_six = [root / f"two-on-six-{number}" for number in range(6)]
        two_on_six = S3Server(of_six, config=usual, arguments=["--workers", "2"])
        servers = [
            S3Server([root / "usual"], config=usual),
            S3Server([root / f"one-of-six-{number}" for number in range(6)], config=usual),
            S3Server([root / "outline"], config=config(inline_limit=0)),
            S3Server([root / "inline"], config=config(inline_limit=131_072, block=4 << 20)),
            two_workers,
            two_on_six,
            S3Server([root / "tls"], config=usual, tls=tls),
        ]
        for server in servers:
            stack.enter_context(server)
        running = Arena(servers, hopping=[two_workers, two_on_six])
        stack.callback(running.close)
        yield running


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_store_gives_the_same_answers(arena):
    """Drives, limits, processes and transport are the operator's choice: a program that works with one store works with all."""
    play_examples(lambda: S3Machine(arena), examples=EXAMPLES, steps=STEPS, command=COMMAND)

"""Random requests on a real server against a dumb twin: every answer of the server is the one that S3 gives."""

from __future__ import annotations

import pytest

from objstore.testing.s3_machine import Arena, S3Machine, play_examples
from objstore.testing.server import S3Server

EXAMPLES = 500
STEPS = 60
CONFIG = "inline_limit_bytes = 16384\nblock_bytes = 65536\n"
COMMAND = ".venv/bin/python -m pytest -q tests/properties/test_s3_state_machine.py"


@pytest.fixture(scope="module")
def arena():
    """One server for all examples; each takes a new bucket."""
    with S3Server(config=CONFIG) as server:
        running = Arena([server])
        yield running
        running.close()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_answer_is_that_of_the_twin(arena):
    """Whatever is asked in whatever order: no lost write, no wrong version, no key too many or too few in a listing."""
    play_examples(lambda: S3Machine(arena), examples=EXAMPLES, steps=STEPS, command=COMMAND)

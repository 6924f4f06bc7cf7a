"""Random requests on a real server against a dumb twin: every answer of the server is the one that S3 gives."""

from __future__ import annotations

import pytest

from objstore.testing.s3_arena import Arena, play_examples, quick_directory
from objstore.testing.s3_machine import Content, S3Machine
from objstore.testing.server import S3Server

EXAMPLES = 150
STEPS = 60
CONFIG = "inline_limit_bytes = 16384\nblock_bytes = 65536\n"
COMMAND = ".venv/bin/python -m pytest -q tests/properties/test_s3_state_machine.py"


@pytest.fixture(scope="module")
def arena():
    """One server for all examples; each takes a new bucket."""
    with quick_directory() as directory, S3Server([directory / "data"], config=CONFIG) as server:
        running = Arena([server])
        yield running
        running.close()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_answer_is_that_of_the_twin(arena):
    """Whatever is asked in whatever order: no lost write, no wrong version, no key too many or too few in a listing."""
    play_examples(lambda: S3Machine(arena), examples=EXAMPLES, steps=STEPS, command=COMMAND)


def test_a_key_that_the_twin_does_not_know_is_noticed(arena):
    """The comparison must be able to fail: here the server holds a key more, there a byte less."""
    machine = S3Machine(arena)
    machine.play("put", "a", b"1")
    machine.players[0].put("b", b"2")
    with pytest.raises(AssertionError, match="twin"):
        machine.what_is_listed_is_readable()
    machine = S3Machine(arena)
    machine.play("put", "a", b"12")
    machine.twin.put("a", b"1")
    with pytest.raises(AssertionError, match="twin"):
        machine.play("get", "a")


def test_examples_of_every_rule(arena):
    """Random examples leave out rules; this one plays each, with a restart of either kind in between."""
    machine = S3Machine(arena)
    machine.begin(
        "Enabled", [("a", Content(1, 0))], [("a", Content(70_000, 0)), ("\n", Content(0, 0))]
    )
    for key, again in (("a", True), ("é", False)):
        machine.two_parts(key, [2, 1], again=again, chance=13)
    for by_kill in (False, True):
        machine.arena.restart(by_kill=by_kill)
        machine.what_is_listed_is_readable()
        machine.get_some("a", None, None, None, 2)
        machine.race("a", "put", 0, "same")
        machine.race("a", "delete_version", 0, "none")
        machine.copy("b", "a", 1, None, None, (None, None))
        machine.set_versioning("Suspended", 0)
    machine.teardown()


def test_a_list_out_of_order_comes_before_everything_else(arena):
    """Found by random examples: the order of two refusals, for an upload of another key and for a condition that is false."""
    machine = S3Machine(arena)
    machine.play("put", "a", b"there")
    upload = machine.play("create_upload", "a")["upload"]
    for number in (1, 2):
        machine.play("upload_part", upload, "a", number, b"part")
    for key, condition in (("ax", None), ("a", ("If-None-Match", "*"))):
        machine.play("complete", upload, key, machine.parts(upload, "order"), condition=condition)
    machine.teardown()

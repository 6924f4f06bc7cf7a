"""Random requests on a real server against a dumb twin: every answer of the server is the one that S3 gives."""

from __future__ import annotations

import os
import re

import pytest

from objstore.testing.s3_arena import Arena, play_examples, quick_directory
from objstore.testing.s3_machine import Content, S3Machine
from objstore.testing.server import S3Server

BATCHES = 2
"""So that two processes can share the work."""
EXAMPLES = 250
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


NEEDED = """
abort 204; abort 404 NoSuchUpload
begin Enabled; begin Suspended; begin never
complete 200; complete 400 EntityTooSmall; complete 400 InvalidPart; complete 400 InvalidPartOrder
complete 404 NoSuchKey; complete 404 NoSuchUpload; complete 409 ConditionalRequestConflict; complete 412 PreconditionFailed
complete once more; two parts [1, 2]; two parts [2, 1]; two parts [1, 2] again; two parts [2, 1] again
copy 200; copy 400 InvalidRequest; copy 404 NoSuchKey; copy 404 NoSuchVersion; copy 412 PreconditionFailed; copy onto itself
copy_part 200; copy_part 400 InvalidArgument; copy_part 400 InvalidRequest; copy_part 404 NoSuchKey
copy_part 404 NoSuchUpload; copy_part 404 NoSuchVersion
delete 204; delete 404 NoSuchKey; delete 412 PreconditionFailed; delete_many 200
current object removed; current marker removed; noncurrent object removed; null removed
null replaced never; null replaced Suspended
get 200; get 206; get 304; get 404; get 404 NoSuchKey; get 404 NoSuchVersion; get 405; get 405 MethodNotAllowed; get 412
get 412 PreconditionFailed; get 416 InvalidPartNumber; get 416 InvalidRange
get_tags 200; get_tags 404 NoSuchKey; put_tags 200; put_tags 405 MethodNotAllowed
delete_tags 204; delete_tags 404 NoSuchKey
list_parts 200; list_parts 404 NoSuchUpload
part again; part before a later one; part in order
put 200; put 404 NoSuchKey; put 412 PreconditionFailed
versioning never to Enabled; versioning never to Suspended; versioning Enabled to Suspended; versioning Suspended to Enabled
listing v1 by 0; listing v1 by 1; listing v1 by 2; listing v1 by 3; listing v1 by 5; listing v1 by 1000
listing v2 by 0; listing v2 by 1; listing v2 by 2; listing v2 by 3; listing v2 by 5; listing v2 by 1000
listing versions by 0; listing versions by 1; listing versions by 2; listing versions by 3; listing versions by 5
listing versions by 1000; listing uploads by 1; listing uploads by 2; listing uploads by 3; listing uploads by 5
listing v1 encoded; listing v1 raw; listing v1 pages; listing v1 grouped; listing v1 prefix; listing v1 after
listing v2 encoded; listing v2 raw; listing v2 pages; listing v2 grouped; listing v2 prefix; listing v2 after
listing versions encoded; listing versions raw; listing versions pages; listing versions grouped
listing versions prefix; listing versions after; listing versions after a version
listing uploads encoded; listing uploads raw; listing uploads pages; listing uploads prefix; listing uploads after
"""
"""What each batch must have played; in an ordinary run its examples are always the same."""


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_answer_is_that_of_the_twin(arena, batch):
    """Whatever is asked in whatever order: no lost write, no wrong version, no key too many or too few in a listing.

    And everything was asked: a search that no longer reaches a situation would find nothing wrong with it.
    """
    arena.played.clear()
    play_examples(
        lambda: S3Machine(arena), examples=EXAMPLES, steps=STEPS, command=COMMAND, batch=batch
    )
    if not os.environ.get("OBJSTORE_STATE_MACHINE_REPLAY"):
        needed = {situation.strip() for situation in re.split(r"[;\n]", NEEDED.strip())}
        assert needed - arena.played.keys() == set()
        assert arena.played.keys() & {"restart", "restart by kill"}


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

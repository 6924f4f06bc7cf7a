"""A name is there and usable, or gone; whatever happens on the way."""

from __future__ import annotations

import contextlib

import anyio
import msgspec
import pytest

from objstore.model.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    OperationAborted,
)
from objstore.model.names import BucketName, ObjectKey
from objstore.model.objects import Usage
from objstore.s3.inputs import BucketInput, CreateBucketInput, PutBucketTaggingInput

BOX = CreateBucketInput(BucketName("box"))


async def _works(world, record):
    """Write and read in a bucket."""
    await world.put(record, b"probe", b"bytes")
    assert await world.get(record, b"probe") == b"bytes"


@pytest.mark.parametrize("steps", range(8))
def test_create_that_is_cut_off_leaves_a_bucket_or_none(run, power_cut, steps):
    """Shards open before the name is published, so that a found name always works (s3 rule 1.3)."""

    async def story(world):
        world.power.steps_left = steps
        with contextlib.suppress(power_cut):
            await world.buckets.create_bucket(world.call(), BOX)
        registry = world.restart_registry()
        await registry.recover(world.clock.now())
        found = await registry.find("box")
        if found is None:
            await world.buckets.create_bucket(world.call(), BOX)
            found = await registry.find("box")
        await _works(world, found)

    run(story)


@pytest.mark.parametrize("steps", range(16))
def test_delete_that_is_cut_off_is_finished_or_was_never_begun(run, power_cut, steps):
    """A bucket that was marked when the process died is finished by `recover` (s3 rule 1.3.9)."""

    async def story(world):
        record = await world.bucket()
        world.power.steps_left = steps
        with contextlib.suppress(power_cut):
            await world.delete_bucket(record)
        registry = world.restart_registry()
        await registry.recover(world.clock.now())
        found = await registry.find("box")
        if found is not None:
            assert not found.is_deleting
            await _works(world, found)
            return
        with pytest.raises(NoSuchBucket):
            await world.put(record, b"k", b"late")
        await world.buckets.create_bucket(world.call(), BOX)
        await _works(world, await registry.find("box"))

    run(story)


@pytest.mark.parametrize("steps", range(18))
def test_refused_delete_that_is_cut_off_loses_nothing(run, power_cut, steps):
    """A bucket that is not empty keeps its objects and takes new ones, after whatever crash."""

    async def story(world):
        record = await world.bucket()
        await world.put(record, b"kept", b"bytes")
        world.power.steps_left = steps
        with pytest.raises((power_cut, BucketNotEmpty)):
            await world.delete_bucket(record)
        registry = world.restart_registry()
        await registry.recover(world.clock.now())
        found = await registry.find("box")
        assert found is not None
        assert not found.is_deleting
        assert await world.get(found, b"kept") == b"bytes"
        await _works(world, found)

    run(story)


def test_recover_tells_which_names_it_touched(run, power_cut):
    """An operator wants to know which removals a crash had interrupted."""

    async def story(world):
        empty, full = await world.bucket("empty"), await world.bucket("full")
        await world.put(full, b"k", b"v")
        for record in (empty, full):
            world.power.steps_left = 5  # the name is marked, nothing is closed
            with pytest.raises(power_cut):
                await world.delete_bucket(record)
            world.restart_registry()
        assert await world.registry.recover(world.clock.now()) == ["empty", "full"]
        assert await world.registry.find("empty") is None
        assert not (await world.registry.find("full")).is_deleting
        assert await world.registry.recover(world.clock.now()) == []

    run(story)


def test_one_of_two_concurrent_creators_wins(run, people):
    """Two users create one name at the same time: one owns it, the other is told (s3 rule 1.3.5)."""

    async def story(world):
        outcomes = {}

        async def create(who):
            try:
                await world.buckets.create_bucket(world.call(who=who), BOX)
                outcomes[who.name] = None
            except BucketAlreadyExists as error:
                outcomes[who.name] = error

        ann, ben, _ = people
        async with anyio.create_task_group() as group:
            group.start_soon(create, ann)
            group.start_soon(create, ben)
        winners = [name for name, error in outcomes.items() if error is None]
        assert len(winners) == 1
        record = await world.registry.find("box")
        assert record.owner == next(p for p in people if p.name == winners[0]).canonical_id
        await _works(world, record)

    run(story)


def test_loser_of_a_publication_leaves_no_shard_behind(run, people):
    """The shard that was opened for a name that was taken meanwhile is forgotten again."""

    async def story(world):
        record = await world.bucket()
        other = msgspec.structs.replace(record, bucket_id=b"\x99" * 16)
        assert not await world.registry.publish(other, world.clock.now())
        with pytest.raises(NoSuchBucket):
            await world.plain_catalog.usage(other)
        await _works(world, record)

    run(story)


def test_repeated_create_answers_as_s3_does(run, people):
    """Same owner in us-east-1: 200, with tags 409; another owner: 409 (s3 rule 1.3.5)."""

    async def story(world):
        ann, ben, root = people
        first = await world.bucket()
        await world.buckets.create_bucket(world.call(who=ann), BOX)
        assert await world.registry.find("box") == first
        tagged = CreateBucketInput(BucketName("box"), tags=(("a", "b"),))
        with pytest.raises(BucketAlreadyOwnedByYou):
            await world.buckets.create_bucket(world.call(who=ann), tagged)
        for who in (ben, root):
            with pytest.raises(BucketAlreadyExists):
                await world.buckets.create_bucket(world.call(who=who), BOX)

    run(story)


def test_create_of_a_name_that_is_being_removed_is_put_off(run, power_cut):
    """Until the old bucket is gone the name is in nobody's hands: OperationAborted, and try again."""

    async def story(world):
        record = await world.bucket()
        world.power.steps_left = 5
        with pytest.raises(power_cut):
            await world.delete_bucket(record)
        world.restart_registry()
        with pytest.raises(OperationAborted):
            await world.buckets.create_bucket(world.call(), BOX)

    run(story)


def test_delete_while_writing_loses_no_acknowledged_object(run):
    """Either the writes are refused or the delete is; never both acknowledged (s3 rule 1.3.9)."""

    async def story(world):
        record = await world.bucket()
        written, outcome = [], []

        async def write(number):
            try:
                await world.put(record, b"k%d" % number, b"bytes")
                written.append(number)
            except NoSuchBucket:
                pass

        async def remove():
            try:
                await world.delete_bucket(record)
                outcome.append("deleted")
            except BucketNotEmpty:
                outcome.append("kept")

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(write, number)
                if number == 3:
                    group.start_soon(remove)
        if outcome == ["deleted"]:
            assert written == []
            return
        found = await world.restart_registry().find("box")
        for number in written:
            assert await world.get(found, b"k%d" % number) == b"bytes"
        assert (await world.plain_catalog.usage(found)).objects == len(written)

    run(story)


def test_object_of_a_bucket_of_the_same_name_is_another_one(run):
    """A re-created name is another bucket: nothing of the old one shows (s3 rule 1.3)."""

    async def story(world):
        old = await world.bucket()
        await world.put(old, b"k", b"old")
        await world.delete(old, b"k")
        await world.delete_bucket(old)
        new = await world.bucket()
        assert new.bucket_id != old.bucket_id
        with pytest.raises(NoSuchKey):
            await world.get(new, b"k")
        with pytest.raises(NoSuchBucket):
            await world.get(old, b"k")
        assert await world.plain_catalog.usage(new) == Usage()

    run(story)


class Gate:
    """Something whose nth call of one name waits until it is let through."""

    def __init__(self, inner, name, *, nth=1):
        self._inner = inner
        self._name = name
        self._calls_left = nth
        self.reached = anyio.Event()
        self.opened = anyio.Event()

    def __getattr__(self, name):
        method = getattr(self._inner, name)
        if name != self._name:
            return method
        self._calls_left -= 1
        if self._calls_left:
            return method

        async def call(*arguments, **named):
            self.reached.set()
            await self.opened.wait()
            return await method(*arguments, **named)

        return call


def test_late_second_delete_never_takes_a_new_bucket_of_that_name(run):
    """A delete that hung while the name changed hands must not remove its successor."""

    async def story(world):
        old = await world.bucket()
        gate = Gate(world.plain_control, "delete")
        slow = type(world.registry)(gate, world.catalog, world.ids)

        async def remove_slowly():
            await slow.remove(old, world.clock.now())

        async with anyio.create_task_group() as group:
            group.start_soon(remove_slowly)
            await gate.reached.wait()
            await world.registry.remove(old, world.clock.now())
            new = await world.bucket()
            gate.opened.set()
        found = await world.restart_registry().find("box")
        assert found == new
        await _works(world, found)

    run(story)


def test_two_deletes_at_the_same_time_take_the_bucket_once(run):
    """One client is told that it is gone, the other at worst to look again."""

    async def story(world):
        record = await world.bucket()
        outcomes = []

        async def remove():
            try:
                await world.delete_bucket(record)
                outcomes.append("deleted")
            except (NoSuchBucket, OperationAborted):
                outcomes.append("refused")

        async with anyio.create_task_group() as group:
            group.start_soon(remove)
            group.start_soon(remove)
        assert "deleted" in outcomes
        assert await world.registry.find("box") is None
        await _works(world, await world.bucket())

    run(story)


def test_delete_that_finds_objects_cannot_undo_the_fence_of_another(run):
    """One delete found an object, another found none and closed the shards: no write may slip between them.

    The first opens the shards again after the second has closed them. The second must notice when it drops them.
    """

    async def story(world):
        record = await world.bucket()
        await world.put(record, b"k", b"first")
        gate = Gate(world.plain_catalog, "submit_all", nth=2)
        slow = type(world.registry)(world.plain_control, gate, world.ids)
        gate_of_drop = Gate(world.plain_catalog, "submit_all", nth=2)
        quick = type(world.registry)(world.plain_control, gate_of_drop, world.ids)
        outcomes = {}
        ended = {"slow": anyio.Event(), "quick": anyio.Event()}

        async def remove(name, registry):
            try:
                await registry.remove(record, world.clock.now())
                outcomes[name] = "deleted"
            except (BucketNotEmpty, OperationAborted) as error:
                outcomes[name] = type(error).__name__
            ended[name].set()

        async with anyio.create_task_group() as group:
            group.start_soon(remove, "slow", slow)
            await gate.reached.wait()  # it found the object, and is about to open the shards again
            await world.delete(record, b"k")
            group.start_soon(remove, "quick", quick)
            await gate_of_drop.reached.wait()  # it has closed them
            gate.opened.set()
            await ended["slow"].wait()
            await world.put(record, b"k", b"second")
            gate_of_drop.opened.set()
        assert outcomes == {"slow": "BucketNotEmpty", "quick": "OperationAborted"}
        found = await world.restart_registry().find("box")
        assert not found.is_deleting
        assert await world.get(found, b"k") == b"second"

    run(story)


def test_delete_that_failed_can_be_repeated_without_a_restart(run, power_cut):
    """A control store that was away for a moment must not lock a bucket up."""

    async def story(world):
        record = await world.bucket()
        world.power.steps_left = 5
        with pytest.raises(power_cut):
            await world.delete_bucket(record)
        world.power.steps_left = None
        await world.delete_bucket(record)
        assert await world.registry.find("box") is None

    run(story)


def test_change_of_a_bucket_that_is_being_removed_is_put_off(run, power_cut):
    """Tags written over the mark would bring a closed bucket back after a crash."""

    async def story(world):
        record = await world.bucket()
        world.power.steps_left = 5
        with pytest.raises(power_cut):
            await world.delete_bucket(record)
        world.power.steps_left = None
        with pytest.raises(OperationAborted):
            await world.buckets.put_bucket_tagging(
                world.call(record), PutBucketTaggingInput(record.name, (("a", "b"),))
            )
        assert await world.registry.recover(world.clock.now()) == ["box"]

    run(story)


def test_stale_record_is_found_out(run):
    """A cached record of a bucket that was re-created elsewhere is refused and forgotten."""

    async def story(world):
        old = await world.bucket()
        elsewhere = type(world.registry)(world.plain_control, world.catalog, world.ids)
        await elsewhere.remove(old, world.clock.now())
        with pytest.raises(NoSuchBucket):
            await world.registry.replace(old)
        assert await world.registry.find("box") is None
        await elsewhere.publish(
            msgspec.structs.replace(old, bucket_id=b"\x77" * 16), world.clock.now()
        )
        with pytest.raises(NoSuchBucket):
            await world.registry.remove(old, world.clock.now())
        assert (await world.registry.find("box")).bucket_id == b"\x77" * 16

    run(story)


def test_forgotten_name_is_looked_up_again(run):
    """`forget` is how a gateway that met a stale record gets the present one."""

    async def story(world):
        record = await world.bucket()
        elsewhere = type(world.registry)(world.plain_control, world.catalog, world.ids)
        changed = msgspec.structs.replace(record, tags=(("a", "b"),))
        await elsewhere.replace(changed)
        assert await world.registry.find("box") == record
        world.registry.forget("box")
        assert await world.registry.find("box") == changed
        world.registry.forget("nobody")

    run(story)


def test_change_that_lost_a_race_is_put_off(run):
    """A record that changed between reading and writing is not overwritten."""

    async def story(world):
        record = await world.bucket()
        gate = Gate(world.plain_control, "put")
        slow = type(world.registry)(gate, world.catalog, world.ids)
        errors = []

        async def change():
            try:
                await slow.replace(msgspec.structs.replace(record, tags=(("slow", "1"),)))
            except OperationAborted as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(change)
            await gate.reached.wait()
            await world.registry.replace(msgspec.structs.replace(record, tags=(("fast", "1"),)))
            gate.opened.set()
        assert len(errors) == 1
        assert (await world.restart_registry().find("box")).tags == (("fast", "1"),)

    run(story)


def test_bucket_that_holds_only_uploads_may_go(run):
    """Open uploads do not keep a bucket; their parts become garbage (s3 rule 1.3.9)."""

    async def story(world):
        record = await world.bucket()
        from objstore.s3.inputs import CreateMultipartUploadInput, NewObject

        await world.uploads.create_multipart_upload(
            world.call(record),
            CreateMultipartUploadInput(record.name, ObjectKey(b"k"), NewObject()),
        )
        await world.buckets.delete_bucket(world.call(record), BucketInput(record.name))
        assert await world.registry.find("box") is None

    run(story)

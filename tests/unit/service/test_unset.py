"""Settings that the store does not keep, over a real catalogue."""

from __future__ import annotations

import pytest

from objstore.model.errors import (
    AccessControlListNotSupported,
    BadRequestError,
    CorsForbidden,
    NoSuchConfiguration,
    NoSuchKey,
    NoSuchLifecycleConfiguration,
)
from objstore.model.names import BucketName, ObjectKey
from objstore.model.objects import Versioning
from objstore.s3.inputs import AclInput, ObjectInput, PreflightInput, UnsetSettingInput
from objstore.service.unset import UnsetService


def test_reads_and_removals_of_nothing(run):
    """A removal of what never was is done; what has an id is missed (s3 rules 6.1, 6.1.1)."""

    async def story(world):
        bucket = await world.bucket()
        service, call = UnsetService(world.registry, world.catalog), world.call(bucket)

        def asked(operation):
            return UnsetSettingInput(bucket.name, operation)

        with pytest.raises(NoSuchLifecycleConfiguration) as caught:
            await service.get_unset_setting(call, asked("GetBucketLifecycleConfiguration"))
        assert caught.value.detail == {"bucket_name": bucket.name}
        assert await service.delete_unset_setting(call, asked("DeleteBucketLifecycle"))
        output = await service.get_unset_setting(call, asked("GetBucketLogging"))
        assert output.operation == "GetBucketLogging"
        with pytest.raises(NoSuchConfiguration):
            await service.delete_unset_setting(call, asked("DeleteBucketMetricsConfiguration"))

    run(story)


def test_lists_of_access_are_those_of_the_owner(run):
    """Nothing but what is in force is taken, for an object that is there (s3 rule 4.18.1)."""

    async def story(world):
        bucket = await world.bucket(versioning=Versioning.ENABLED)
        service, call = UnsetService(world.registry, world.catalog), world.call(bucket)
        key = ObjectKey(b"k")
        own = ((bucket.owner, "FULL_CONTROL"),)
        with pytest.raises(NoSuchKey):
            await service.get_object_acl(call, ObjectInput(bucket.name, key))
        with pytest.raises(NoSuchKey):
            await service.put_object_acl(call, AclInput(bucket.name, key, grants=own))
        version = (await world.put(bucket, b"k", b"v")).version_id
        shown = await service.get_object_acl(call, ObjectInput(bucket.name, key, version))
        assert (shown.owner, shown.version_id) == (bucket.owner, version)
        for grants in (None, own):
            done = await service.put_object_acl(call, AclInput(bucket.name, key, grants=grants))
            assert done.version_id == version
            await service.put_bucket_acl(call, AclInput(bucket.name, grants=grants))
        for grants in ((), (("x", "FULL_CONTROL"),), ((bucket.owner, "READ"),), own * 2):
            with pytest.raises(AccessControlListNotSupported):
                await service.put_object_acl(call, AclInput(bucket.name, key, grants=grants))
            with pytest.raises(AccessControlListNotSupported):
                await service.put_bucket_acl(call, AclInput(bucket.name, grants=grants))

    run(story)


def test_locks_and_preflights_are_refused(run):
    """Neither reveals more than S3 does (s3 rules 4.16.5, 6.5.2)."""

    async def story(world):
        bucket = await world.bucket()
        service, call = UnsetService(world.registry, world.catalog), world.call(bucket)
        with pytest.raises(BadRequestError, match="missing Object Lock"):
            await service.refuse_without_object_lock(
                call, ObjectInput(bucket.name, ObjectKey(b"k"))
            )
        for name, text in ((bucket.name, "not enabled"), (BucketName("none"), "not found")):
            with pytest.raises(CorsForbidden, match=text) as caught:
                await service.preflight_request(call, PreflightInput(name, "https://a", "PUT"))
            assert caught.value.detail == {"method": "PUT", "resource_type": "BUCKET"}

    run(story)

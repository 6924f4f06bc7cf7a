"""Buckets: create, look at, list, configure, delete."""

from __future__ import annotations

import msgspec

from objstore.metadata.catalog import Catalog
from objstore.metadata.commands import SetVersioning
from objstore.model.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    InvalidArgument,
    InvalidBucketName,
    NoSuchTagSet,
    OperationAborted,
)
from objstore.model.limits import BUCKETS_PER_PAGE_MAX
from objstore.model.names import is_bucket_name
from objstore.model.objects import BucketRecord, Tags
from objstore.s3.inputs import (
    BucketInput,
    CreateBucketInput,
    ListBucketsInput,
    PutBucketTaggingInput,
    PutBucketVersioningInput,
)
from objstore.s3.outputs import (
    CreateBucketOutput,
    EmptyOutput,
    GetBucketLocationOutput,
    GetBucketVersioningOutput,
    HeadBucketOutput,
    ListBucketsOutput,
    TaggingOutput,
)
from objstore.service.ports import Call, Ids
from objstore.service.registry import BucketRegistry

__all__ = ["BucketService"]

_REGION_WITH_QUIET_REPEATS = "us-east-1"


class BucketService:
    """The operations whose subject is a bucket."""

    def __init__(
        self, registry: BucketRegistry, catalog: Catalog, ids: Ids, *, region: str, spread: int
    ) -> None:
        self._registry = registry
        self._catalog = catalog
        self._ids = ids
        self._region = region
        self._spread = spread

    async def list_buckets(self, call: Call, request: ListBucketsInput) -> ListBucketsOutput:
        """List what the caller owns; root sees all (s3 rule 5.6)."""
        if request.bucket_region is not None and request.bucket_region != self._region:
            raise InvalidArgument(
                f"Argument value {request.bucket_region} is not a valid AWS Region",
                argument_name="bucket-region",
                argument_value=request.bucket_region,
            )
        prefix = request.prefix or ""
        limit = request.max_buckets or BUCKETS_PER_PAGE_MAX
        found: list[BucketRecord] = []
        after = request.after or ""
        while len(found) <= limit:
            page = await self._registry.list(prefix=prefix, after=after, limit=limit + 1)
            found += [record for record in page if self._shows(call, record)]
            if len(page) <= limit:
                break
            after = page[-1].name
        is_truncated = len(found) > limit
        buckets = found[:limit]
        return ListBucketsOutput(
            buckets=buckets,
            owner=call.identity.canonical_id,
            prefix=request.prefix,
            next_after=buckets[-1].name if is_truncated else None,
        )

    async def create_bucket(self, call: Call, request: CreateBucketInput) -> CreateBucketOutput:
        """Create a bucket that the caller owns (s3 rule 1.3)."""
        if not is_bucket_name(request.bucket):
            raise InvalidBucketName(bucket_name=request.bucket)
        existing = await self._registry.find(request.bucket)
        if existing is None:
            record = BucketRecord(
                name=request.bucket,
                bucket_id=self._ids.bucket(),
                owner=call.identity.canonical_id,
                owner_account=call.identity.account_id,
                created=call.now,
                region=self._region,
                spread=self._spread,
                tags=request.tags,
            )
            if await self._registry.publish(record, call.now):
                return CreateBucketOutput(request.bucket, self._region)
            existing = await self._registry.find(request.bucket)
        self._judge_repeat(call, request, existing)
        return CreateBucketOutput(request.bucket, self._region)

    async def head_bucket(self, call: Call, request: BucketInput) -> HeadBucketOutput:
        """Tell that the bucket is there (s3 rule 1.3.10)."""
        return HeadBucketOutput(request.bucket, call.bucket.region)

    async def get_bucket_location(self, call: Call, _: BucketInput) -> GetBucketLocationOutput:
        """Name the region (s3 rule 1.7.13)."""
        return GetBucketLocationOutput(call.bucket.region)

    async def delete_bucket(self, call: Call, _: BucketInput) -> EmptyOutput:
        """Delete an empty bucket; open uploads are aborted (s3 rule 1.3.9)."""
        await self._registry.remove(call.bucket, call.now)
        return EmptyOutput()

    async def get_bucket_versioning(self, call: Call, _: BucketInput) -> GetBucketVersioningOutput:
        """Return the versioning state (s3 rule 4.15.1)."""
        return GetBucketVersioningOutput(await self._catalog.versioning(call.bucket))

    async def put_bucket_versioning(
        self, call: Call, request: PutBucketVersioningInput
    ) -> EmptyOutput:
        """Enable or suspend versioning; in force for every write that begins after the answer."""
        await self._catalog.submit_all(
            call.bucket,
            SetVersioning,
            op_id=self._ids.op(),
            at=call.now,
            versioning=request.versioning,
        )
        return EmptyOutput()

    async def get_bucket_tagging(self, call: Call, request: BucketInput) -> TaggingOutput:
        """Return the tags; a bucket without any answers `NoSuchTagSet` (s3 rule 4.8.6)."""
        if not call.bucket.tags:
            raise NoSuchTagSet(bucket_name=request.bucket)
        return TaggingOutput(call.bucket.tags)

    async def put_bucket_tagging(self, call: Call, request: PutBucketTaggingInput) -> EmptyOutput:
        """Replace all tags."""
        return await self._set_tags(call, request.tags)

    async def delete_bucket_tagging(self, call: Call, _: BucketInput) -> EmptyOutput:
        """Remove all tags."""
        return await self._set_tags(call, ())

    async def _set_tags(self, call: Call, tags: Tags) -> EmptyOutput:
        await self._registry.replace(msgspec.structs.replace(call.bucket, tags=tags))
        return EmptyOutput()

    @staticmethod
    def _shows(call: Call, record: BucketRecord) -> bool:
        return call.identity.is_root or record.owner == call.identity.canonical_id

    def _judge_repeat(
        self, call: Call, request: CreateBucketInput, existing: BucketRecord | None
    ) -> None:
        """Judge a create of a name that is taken (s3 rule 1.3.5)."""
        if existing is None or existing.is_deleting:
            raise OperationAborted(bucket_name=request.bucket)
        if existing.owner != call.identity.canonical_id:
            raise BucketAlreadyExists(bucket_name=request.bucket)
        if self._region != _REGION_WITH_QUIET_REPEATS or request.tags:
            raise BucketAlreadyOwnedByYou(bucket_name=request.bucket)

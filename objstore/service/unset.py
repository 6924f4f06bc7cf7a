"""What is not kept: settings that nobody can have made, and lists of access that grant nothing but to the owner.

Reads and removals answer as S3 does for a bucket that was never configured (s3 rule 6.1). Writes that come here ask for what
is in force anyway; they succeed and store nothing.
"""

from __future__ import annotations

from objstore.metadata.catalog import Catalog
from objstore.model.errors import AccessControlListNotSupported, BadRequestError, CorsForbidden
from objstore.model.names import ObjectKey
from objstore.s3.inputs import AclInput, BucketInput, ObjectInput, PreflightInput, UnsetSettingInput
from objstore.s3.outputs import AclOutput, EmptyOutput, UnsetSettingOutput
from objstore.s3.unset import MISSING
from objstore.service.ports import Call
from objstore.service.registry import BucketRegistry
from objstore.service.tagging import visible_for_tags
from objstore.service.versions import shown_id, visible

__all__ = ["UnsetService"]


class UnsetService:
    """The operations on what the store does not keep."""

    def __init__(self, registry: BucketRegistry, catalog: Catalog) -> None:
        self._registry = registry
        self._catalog = catalog

    async def get_unset_setting(self, _: Call, request: UnsetSettingInput) -> UnsetSettingOutput:
        """Tell that nothing is set: the error of its own, or a document."""
        missing = MISSING.get(request.operation)
        if missing is not None:
            raise missing(bucket_name=request.bucket)
        return UnsetSettingOutput(request.operation)

    async def delete_unset_setting(self, _: Call, request: UnsetSettingInput) -> EmptyOutput:
        """Remove nothing, which is no error but for what has an id (s3 rule 6.1.1)."""
        missing = MISSING.get(request.operation)
        if missing is not None:
            raise missing(bucket_name=request.bucket)
        return EmptyOutput()

    async def put_unset_setting(self, _: Call, __: BucketInput) -> EmptyOutput:
        """Leave everything as it is, as the request asks."""
        return EmptyOutput()

    # --- access control lists ----------------------------------------------------------------------

    async def get_bucket_acl(self, call: Call, _: BucketInput) -> AclOutput:
        """Show that the owner may do everything (s3 rule 4.18.1)."""
        return AclOutput(call.bucket.owner)

    async def get_object_acl(self, call: Call, request: ObjectInput) -> AclOutput:
        """Show the same for an object, which belongs to the owner of its bucket.

        A current delete marker is NoSuchKey here, and refused by `put_object_acl` (s3 rule 4.15.8).
        """
        state = await self._catalog.find(call.bucket, request.key, request.version_id)
        version = visible(state, request.key, request.version_id, method="GET")
        return AclOutput(call.bucket.owner, shown_id(state.versioning, version.version_id))

    async def put_bucket_acl(self, call: Call, request: AclInput) -> EmptyOutput:
        """Take a list that changes nothing. Raises `AccessControlListNotSupported` for any other."""
        _judge_acl(call, request)
        return EmptyOutput()

    async def put_object_acl(self, call: Call, request: AclInput) -> EmptyOutput:
        """Take a list that changes nothing, for an object that is there."""
        key = request.key or ObjectKey(b"")
        state = await self._catalog.find(call.bucket, key, request.version_id)
        version = visible_for_tags(state, key, request.version_id, method="PUT")
        _judge_acl(call, request)
        return EmptyOutput(shown_id(state.versioning, version.version_id))

    # --- locks and other origins -------------------------------------------------------------------

    async def refuse_without_object_lock(self, _: Call, __: ObjectInput) -> EmptyOutput:
        """Refuse what only objects of a bucket with object lock have (s3 rule 4.16.5)."""
        raise BadRequestError("Bucket is missing Object Lock Configuration")

    async def preflight_request(self, _: Call, request: PreflightInput) -> EmptyOutput:
        """Allow nothing: there are no rules that could allow it (s3 rule 6.5.2)."""
        bucket = await self._registry.find(request.bucket)
        reason = "Bucket not found" if bucket is None else "CORS is not enabled for this bucket."
        raise CorsForbidden(
            f"CORSResponse: {reason}", method=request.method, resource_type="BUCKET"
        )


def _judge_acl(call: Call, request: AclInput) -> None:
    if request.grants not in (None, ((call.bucket.owner, "FULL_CONTROL"),)):
        raise AccessControlListNotSupported

"""Tags of objects (s3 rule 4.8)."""

from __future__ import annotations

from objstore.metadata.catalog import Catalog, VersionState
from objstore.metadata.commands import SetTags, Written
from objstore.model.errors import InvariantError
from objstore.model.names import ObjectKey, VersionId
from objstore.model.objects import ObjectVersion, Tags
from objstore.s3.inputs import ObjectInput, PutObjectTaggingInput
from objstore.s3.outputs import EmptyOutput, TaggingOutput
from objstore.service.ports import Call, Ids
from objstore.service.versions import shown_id, visible

__all__ = ["TaggingService"]


class TaggingService:
    """GetObjectTagging, PutObjectTagging, DeleteObjectTagging."""

    def __init__(self, catalog: Catalog, ids: Ids) -> None:
        self._catalog = catalog
        self._ids = ids

    async def get_object_tagging(self, call: Call, request: ObjectInput) -> TaggingOutput:
        """Return the tags; an untagged object has none."""
        state = await self._catalog.find(call.bucket, request.key, request.version_id)
        version = visible_for_tags(state, request.key, request.version_id, method="GET")
        return TaggingOutput(version.tags, shown_id(state.versioning, version.version_id))

    async def put_object_tagging(self, call: Call, request: PutObjectTaggingInput) -> EmptyOutput:
        """Replace the whole set."""
        return await self._set(call, request.key, request.version_id, request.tags, "PUT")

    async def delete_object_tagging(self, call: Call, request: ObjectInput) -> EmptyOutput:
        """Remove all tags."""
        return await self._set(call, request.key, request.version_id, (), "DELETE")

    async def _set(
        self, call: Call, key: ObjectKey, version_id: VersionId | None, tags: Tags, method: str
    ) -> EmptyOutput:
        state = await self._catalog.find(call.bucket, key, version_id)
        visible_for_tags(state, key, version_id, method=method)
        command = SetTags(
            op_id=self._ids.op(),
            at=call.now,
            bucket_id=call.bucket.bucket_id,
            key=key,
            version_id=version_id,
            tags=tags,
        )
        result = await self._catalog.submit(call.bucket, key, command)
        if not isinstance(result, Written):
            raise InvariantError("tagging was answered with something else")
        return EmptyOutput(shown_id(result.versioning, result.version_id))


def visible_for_tags(
    state: VersionState, key: ObjectKey, version_id: VersionId | None, *, method: str
) -> ObjectVersion:
    """Return the object; a delete marker is refused with 405 even when it is current (s3 rule 4.8.4)."""
    version = state.version
    if version is not None and version.is_delete_marker:
        return visible(state, key, version.version_id, method=method)
    return visible(state, key, version_id, method=method)

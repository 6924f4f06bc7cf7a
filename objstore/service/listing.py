"""Listings of objects and versions (s3 rules 5.1 to 5.4)."""

from __future__ import annotations

from objstore.metadata.catalog import Catalog
from objstore.s3.inputs import ListObjectsInput, ListObjectVersionsInput
from objstore.s3.outputs import ListObjectsOutput, ListObjectVersionsOutput
from objstore.service.ports import Call

__all__ = ["ListingService"]


class ListingService:
    """ListObjects, ListObjectsV2, ListObjectVersions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def list_objects(self, call: Call, request: ListObjectsInput) -> ListObjectsOutput:
        """Return a page of current objects; both versions of the operation share it."""
        page = await self._catalog.list_current(
            call.bucket,
            prefix=request.query.prefix,
            delimiter=request.query.delimiter,
            after=request.after,
            limit=request.query.max_keys,
        )
        return ListObjectsOutput(request, page.rows, page.common_prefixes, page.next_after)

    async def list_object_versions(
        self, call: Call, request: ListObjectVersionsInput
    ) -> ListObjectVersionsOutput:
        """Return a page of versions and delete markers."""
        page = await self._catalog.list_versions(
            call.bucket,
            prefix=request.query.prefix,
            delimiter=request.query.delimiter,
            after=(request.key_marker, request.version_id_marker),
            limit=request.query.max_keys,
        )
        return ListObjectVersionsOutput(request, page.rows, page.common_prefixes, page.next_marker)

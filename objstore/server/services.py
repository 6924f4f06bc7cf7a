"""The services of a node, wired to each other, and the table from handler names to their methods."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any

from objstore.api.pipeline import Handler
from objstore.metadata.catalog import Catalog
from objstore.model.errors import check
from objstore.model.objects import BucketRecord, Identity
from objstore.s3.access import authorise, check_expected_owner
from objstore.s3.operations import OPERATIONS
from objstore.server.settings import Settings
from objstore.service.buckets import BucketService
from objstore.service.copying import CopyService, CopySources
from objstore.service.ingest import Ingest
from objstore.service.listing import ListingService
from objstore.service.multipart import MultipartService
from objstore.service.objects import ObjectService
from objstore.service.ports import DataStore, Ids
from objstore.service.reading import ObjectReader
from objstore.service.registry import BucketRegistry
from objstore.service.tagging import TaggingService
from objstore.service.unset import UnsetService

__all__ = ["Services"]

_GET_OBJECT = next(row for row in OPERATIONS if row.name == "GetObject")

Method = Callable[[Any, Any], Coroutine[Any, Any, Any]]


class Services:
    """All use cases of one node."""

    def __init__(
        self,
        settings: Settings,
        *,
        registry: BucketRegistry,
        catalog: Catalog,
        data: DataStore,
        ids: Ids,
        hash_pool: Executor,
    ) -> None:
        ingest = Ingest(data, inline_bytes_max=settings.storage.inline_bytes_max)
        reader = ObjectReader(catalog, data)
        sources = CopySources(registry, catalog, reader, _authorise_source, hash_pool)
        self.buckets = BucketService(registry, catalog, ids, region=settings.s3.region, spread=1)
        self._all: tuple[object, ...] = (
            self.buckets,
            ObjectService(catalog, ingest, reader, ids),
            CopyService(catalog, ingest, sources, ids),
            MultipartService(catalog, ingest, sources, ids),
            ListingService(catalog),
            TaggingService(catalog, ids),
            UnsetService(registry, catalog),
        )

    def handlers(self) -> dict[str, Handler]:
        """Return the method for every handler that the operations table names."""
        found: dict[str, Handler] = {}
        for row in OPERATIONS:
            if row.handler is None or row.handler in found:
                continue
            methods = [getattr(s, row.handler) for s in self._all if hasattr(s, row.handler)]
            check(
                len(methods) == 1,
                f"{row.name} names handler {row.handler}, which {len(methods)} services have",
            )
            found[row.handler] = methods[0]
        return found


def _authorise_source(
    identity: Identity, _action: str, bucket: BucketRecord, expected_owner: str | None
) -> None:
    """Judge the source of a copy as a read by the same caller (s3 rule 4.9.7)."""
    check_expected_owner(expected_owner, bucket)
    authorise(identity, _GET_OBJECT, bucket)

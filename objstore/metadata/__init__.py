"""The catalogue: which versions, uploads and parts a bucket holds, as one state machine over a log, applied to SQLite.

`Catalog` is the port; `SqlCatalog` over `CatalogStore`s is what a node runs. DESIGN.md says why it is built this way.
"""

from objstore.metadata.catalog import Catalog, ListPage, UploadsPage, VersionsPage, VersionState
from objstore.metadata.catalog_file import CATALOG_FILE_NAME
from objstore.metadata.partitioning import PARTITIONS_COUNT, partition_of, partitions_of
from objstore.metadata.reader import CatalogReader
from objstore.metadata.sql_catalog import CatalogStore, SqlCatalog
from objstore.metadata.stats import CatalogStats

__all__ = [
    "CATALOG_FILE_NAME",
    "PARTITIONS_COUNT",
    "Catalog",
    "CatalogReader",
    "CatalogStats",
    "CatalogStore",
    "ListPage",
    "SqlCatalog",
    "UploadsPage",
    "VersionState",
    "VersionsPage",
    "partition_of",
    "partitions_of",
]

"""Tables of `catalog.sqlite`, their creation and their migrations. Needed only when a file is created or migrated.

SQLAlchemy Core owns the shape (no engine, no session): the DDL is compiled once, here, and run on APSW. Importing it
takes half a second, so `sql_file` imports this module only when a file is not at the current format.
`docs/formats/catalog.md` describes the columns.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable

__all__ = ["METADATA", "ddl", "migrations"]

METADATA: Final = MetaData()


@compiles(PrimaryKeyConstraint, "sqlite")
def _primary_key(constraint: PrimaryKeyConstraint, compiler: Any, **_: Any) -> str:
    """Write a primary key whose last column descends where the table says so."""
    names = [compiler.preparer.format_column(column) for column in constraint.columns]
    if constraint.table.info.get("newest_first"):
        names[-1] += " DESC"
    return f"PRIMARY KEY ({', '.join(names)})"


def _integer(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _blob(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable)


def _clustered(name: str, *parts: Any, info: dict[str, Any] | None = None) -> Table:
    """Declare a table that is its primary key's tree."""
    return Table(
        name, METADATA, *parts, sqlite_with_rowid=False, sqlite_strict=True, info=info or {}
    )


def _version_columns() -> list[Column[Any]]:
    return [
        _integer("shard"),
        _blob("key"),
        _integer("sequence"),
        _text("version_id"),
        _integer("is_delete_marker"),
        _integer("last_modified"),
        _integer("size"),
        _text("etag"),
        _text("storage_class"),
        _text("checksum_algorithm", nullable=True),
        _text("checksum_type", nullable=True),
        _text("owner"),
        _integer("inline_id", nullable=True),
        _blob("record"),
    ]


PARTITIONS: Final = _clustered(
    "partitions",
    _integer("partition"),
    _integer("epoch"),
    _integer("applied"),
    _integer("next_sequence"),
    _integer("fence"),
    _blob("state_hash"),
    PrimaryKeyConstraint("partition"),
)

SHARDS: Final = Table(
    "shards",
    METADATA,
    Column("number", Integer, primary_key=True),
    _blob("bucket_id"),
    _integer("partition"),
    _integer("is_open"),
    _text("versioning"),
    _integer("objects"),
    _integer("versions"),
    _integer("delete_markers"),
    _integer("size_bytes"),
    _integer("uploads"),
    _integer("part_bytes"),
    UniqueConstraint("bucket_id", "partition"),
    CheckConstraint("objects >= 0 AND versions >= 0 AND size_bytes >= 0 AND part_bytes >= 0"),
    sqlite_strict=True,
)

OBJECTS: Final = _clustered("objects", *_version_columns(), PrimaryKeyConstraint("shard", "key"))

VERSIONS: Final = _clustered(
    "versions",
    *_version_columns(),
    PrimaryKeyConstraint("shard", "key", "sequence"),
    info={"newest_first": True},
)
Index("versions_by_id", VERSIONS.c.shard, VERSIONS.c.key, VERSIONS.c.version_id, unique=True)

INLINE: Final = Table(
    "inline",
    METADATA,
    Column("id", Integer, primary_key=True),
    _blob("digest"),
    _blob("data"),
    sqlite_strict=True,
)

UPLOADS: Final = _clustered(
    "uploads",
    _integer("shard"),
    _blob("key"),
    _text("upload_id"),
    _integer("is_touched"),
    _blob("record"),
    PrimaryKeyConstraint("shard", "key", "upload_id"),
)

PARTS: Final = _clustered(
    "parts",
    _integer("shard"),
    _text("upload_id"),
    _integer("number"),
    _integer("size"),
    _text("etag"),
    _blob("checksum", nullable=True),
    _blob("crc64nvme"),
    _integer("inline_id", nullable=True),
    _blob("record"),
    PrimaryKeyConstraint("shard", "upload_id", "number"),
)

FINISHED: Final = _clustered(
    "finished",
    _integer("shard"),
    _text("upload_id"),
    _integer("partition"),
    _integer("at"),
    _blob("record"),
    PrimaryKeyConstraint("shard", "upload_id"),
)
Index("finished_by_time", FINISHED.c.partition, FINISHED.c.at)

GC: Final = _clustered(
    "gc",
    _integer("partition"),
    _integer("sequence"),
    _integer("since"),
    _integer("is_part"),
    _blob("record"),
    PrimaryKeyConstraint("partition", "sequence"),
)

REPAIR: Final = _clustered(
    "repair",
    _integer("partition"),
    _blob("data_id"),
    _integer("part"),
    _integer("since"),
    _blob("bucket_id"),
    _blob("key"),
    _text("version_id", nullable=True),
    _text("upload_id", nullable=True),
    _blob("record"),
    PrimaryKeyConstraint("partition", "data_id", "part"),
)

LOG: Final = _clustered(
    "log",
    _integer("partition"),
    _integer("index"),
    _integer("epoch"),
    _blob("payload"),
    PrimaryKeyConstraint("partition", "index"),
)

RESULTS: Final = _clustered(
    "results",
    _integer("partition"),
    _integer("index"),
    _integer("at"),
    _blob("record"),
    PrimaryKeyConstraint("partition", "index"),
)


def ddl() -> list[str]:
    """Return the statements that create an empty catalogue, in order."""
    dialect = sqlite.dialect()
    statements = []
    for table in METADATA.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [
            str(CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return statements


def migrations(found: int, wanted: int) -> list[str]:
    """Return the statements that bring a file from one format to another; format 1 is the first."""
    statements: list[str] = []
    for version in range(found, wanted):
        statements += _MIGRATIONS[version]
    return statements


_MIGRATIONS: Final[dict[int, list[str]]] = {}
"""Format that a file has -> statements that bring it to the next one."""

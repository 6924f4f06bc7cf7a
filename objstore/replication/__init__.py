"""Floor 3: copies of data over drives: coding, quorum writes, verified reads, repair."""

from objstore.replication.block_writer import WriteTimes
from objstore.replication.homes import DamageReport, Drives, Homes
from objstore.replication.scheme import scheme_for
from objstore.replication.store import BLOCK_BYTES, BodyReader, DataStore

__all__ = [
    "BLOCK_BYTES",
    "BodyReader",
    "DamageReport",
    "DataStore",
    "Drives",
    "Homes",
    "WriteTimes",
    "scheme_for",
]

"""Floor 2: bytes on local drives: the shard file, the drive port, durable publish, the checker."""

from objstore.storage.aligned import AlignedBuffers
from objstore.storage.drive import Drive, DriveIdentity, DriveUsage, TrashReport
from objstore.storage.format import Buffer, NewShard, ShardHeader, ShardId
from objstore.storage.layout import format_drive, read_identity
from objstore.storage.posix_drive import DriveSettings, PosixDrive
from objstore.storage.publish import create_directory, create_file, replace_file, sync_directory

__all__ = [
    "AlignedBuffers",
    "Buffer",
    "Drive",
    "DriveIdentity",
    "DriveSettings",
    "DriveUsage",
    "NewShard",
    "PosixDrive",
    "ShardHeader",
    "ShardId",
    "TrashReport",
    "create_directory",
    "create_file",
    "format_drive",
    "read_identity",
    "replace_file",
    "sync_directory",
]

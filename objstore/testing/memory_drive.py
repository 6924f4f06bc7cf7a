"""A drive in memory: the fake of the drive port, held to the same conformance suite as the real
one.

It keeps whole shard files as bytes and reads them with the same decoder as `PosixDrive`, so that
damage behaves alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from objstore.model.errors import (
    Corrupt,
    CorruptShard,
    DriveUnavailable,
    ShardMissing,
    StorageFull,
    UnknownFormat,
)
from objstore.model.instant import Clock, Instant
from objstore.model.names import DriveId
from objstore.storage.drive import DriveUsage, TrashReport
from objstore.storage.format import (
    CHUNK_BYTES,
    PREFIX_BYTES,
    Buffer,
    NewShard,
    ShardHeader,
    ShardId,
    check_chunks,
    check_identity,
    decode_prefix,
    directory_name,
    encode_prefix,
    parse_name,
)

__all__ = ["MemoryDrive"]


class MemoryDrive:
    """Keeps shards in dictionaries.

    `capacity_bytes` makes it full, `is_away` takes it out of service.
    """

    def __init__(self, drive_id: DriveId, clock: Clock, *, capacity_bytes: int = 2**40) -> None:
        self._drive_id = drive_id
        self._clock = clock
        self._trash: dict[str, tuple[Instant, bytes]] = {}
        self.files: dict[str, bytes] = {}
        """Whole shard files by name; tests may damage them."""
        self.quarantine: dict[str, bytes] = {}
        self.capacity_bytes = capacity_bytes
        self.is_away = False

    @property
    def drive_id(self) -> DriveId:
        """See `Drive.drive_id`."""
        return self._drive_id

    def flip(self, shard_id: ShardId, offset: int, mask: int) -> None:
        """Flip bits of one byte of a shard file."""
        file = bytearray(self.files[shard_id.name])
        file[offset] ^= mask
        self.files[shard_id.name] = bytes(file)

    async def ping(self) -> None:
        """See `Drive.ping`."""
        self._check_in_service()

    async def usage(self) -> DriveUsage:
        """See `Drive.usage`."""
        self._check_in_service()
        held = sum(map(len, self.files.values()))
        held += sum(len(file) for _, file in self._trash.values())
        free = self.capacity_bytes - held
        return DriveUsage(self.capacity_bytes, free, 0, 0, 0, 0)

    async def write(self, shards: Sequence[NewShard]) -> None:
        """See `Drive.write`."""
        size = sum(len(shard.payload) + PREFIX_BYTES for shard in shards)
        if not (await self.usage()).takes(size):
            self._trash.clear()
        if not (await self.usage()).takes(size):
            raise StorageFull("drive has reached its reserve", drive=self._drive_id)
        for shard in shards:
            self._put(shard)

    async def read(self, shard_id: ShardId, *, start: int, length: int) -> Buffer:
        """See `Drive.read`."""
        self._check_in_service()
        file = self.files.get(shard_id.name)
        if file is None and shard_id.name in self._trash:
            file = self._trash[shard_id.name][1]
        return self._verified(file, shard_id, start, start + length)

    def read_cached(self, shard_id: ShardId, *, start: int, length: int) -> Buffer | None:  # noqa: ARG002
        """See `Drive.read_cached`; faults and damage are those of `read`."""
        return None

    async def stat(self, shard_id: ShardId) -> ShardHeader:
        """See `Drive.stat`."""
        self._check_in_service()
        return self._header(self.files.get(shard_id.name), shard_id)

    async def verify(self, shard_id: ShardId) -> ShardHeader:
        """See `Drive.verify`."""
        self._check_in_service()
        file = self.files.get(shard_id.name)
        header = self._header(file, shard_id)
        self._verified(file, shard_id, 0, header.payload_bytes)
        return header

    async def delete(self, shard_ids: Sequence[ShardId], *, at_once: bool = False) -> int:
        """See `Drive.delete`."""
        self._check_in_service()
        count = 0
        for shard_id in shard_ids:
            file = self.files.pop(shard_id.name, None)
            if file is None:
                continue
            count += 1
            if not at_once:
                self._trash[shard_id.name] = (self._clock.now(), file)
        return count

    async def purge_trash(self, deleted_before: Instant) -> TrashReport:
        """See `Drive.purge_trash`."""
        self._check_in_service()
        gone = [name for name, (stamp, _) in self._trash.items() if stamp < deleted_before]
        size = sum(len(self._trash.pop(name)[1]) for name in gone)
        return TrashReport(len(gone), size)

    async def list_names(self, directory: int) -> tuple[str, ...]:
        """See `Drive.list_names`."""
        self._check_in_service()
        wanted = f"{directory:02x}"
        return tuple(
            name
            for name in sorted(self.files)
            if (shard_id := parse_name(name)) is not None and directory_name(shard_id) == wanted
        )

    def _check_in_service(self) -> None:
        if self.is_away:
            raise DriveUnavailable("drive is away", drive=self._drive_id)

    def _put(self, shard: NewShard) -> None:
        shard_id = shard.header.shard_id
        new = encode_prefix(shard) + bytes(shard.payload)
        old = self.files.get(shard_id.name)
        if old is not None and old != new:
            try:
                header = self._header(old, shard_id)
                self._verified(old, shard_id, 0, header.payload_bytes)
            except UnknownFormat:
                raise
            except Corrupt:
                self.quarantine[shard_id.name] = old
            else:
                raise CorruptShard("another shard has this name", drive=self._drive_id)
        self.files[shard_id.name] = new

    def _header(self, file: bytes | None, shard_id: ShardId) -> ShardHeader:
        if file is None:
            raise ShardMissing("shard is not on its drive", drive=self._drive_id)
        prefix = decode_prefix(file[:PREFIX_BYTES])
        check_identity(prefix, shard_id, len(file))
        return prefix.header

    def _verified(self, file: bytes | None, shard_id: ShardId, start: int, stop: int) -> Buffer:
        header = self._header(file, shard_id)
        if file is None or stop > header.payload_bytes:
            raise CorruptShard("shard has fewer bytes than wanted", drive=self._drive_id)
        first_chunk = start // CHUNK_BYTES
        aligned_start = first_chunk * CHUNK_BYTES
        aligned_stop = -(-stop // CHUNK_BYTES) * CHUNK_BYTES
        data = memoryview(file)[PREFIX_BYTES + aligned_start : PREFIX_BYTES + aligned_stop]
        check_chunks(decode_prefix(file[:PREFIX_BYTES]), first_chunk=first_chunk, data=data)
        return data[start - aligned_start : stop - aligned_start]

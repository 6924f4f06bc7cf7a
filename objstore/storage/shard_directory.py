"""Shards in a directory, in blocking calls: what runs inside a drive's worker threads.

Order of a write: check identity and room -> unnamed file -> preallocate -> write -> sync file ->
link -> (all shards of the batch) -> sync each directory -> return. A crash at any point leaves,
under each name, nothing or a whole shard; the unnamed file vanishes by itself. On an error the
names that this call made are taken back.

A failed sync puts the drive out of service until the process ends: the kernel may have dropped the
pages and call the next sync a success, so nothing that was written since the last good one can be
believed.

Methods may run in several threads at once; names are unique, so that they never work on one file,
except for repeated writes of one shard, which the link decides.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from objstore.model.errors import (
    Corrupt,
    CorruptShard,
    DriveUnavailable,
    ObjstoreError,
    ShardMissing,
    StorageFull,
    UnknownFormat,
)
from objstore.model.instant import Instant
from objstore.model.limits import MIB
from objstore.model.names import DriveId
from objstore.storage.aligned import ALIGNMENT_BYTES, AlignedBuffers, is_aligned
from objstore.storage.drive import DriveUsage, TrashReport
from objstore.storage.format import (
    CHUNK_BYTES,
    PREFIX_BYTES,
    Buffer,
    NewShard,
    ShardHeader,
    ShardId,
    ShardPrefix,
    check_chunks,
    check_identity,
    decode_prefix,
    directory_name,
    encode_prefix,
    parse_name,
)
from objstore.storage.headroom import usage_of
from objstore.storage.layout import (
    IDENTITY_NAME,
    QUARANTINE_NAME,
    SHARDS_NAME,
    TMP_NAME,
    TRASH_NAME,
)
from objstore.storage.open_shards import OpenShard, OpenShards
from objstore.storage.publish import sync_directory
from objstore.storage.system import System

__all__ = ["ShardDirectory"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FAILING: Final = (errno.EROFS, errno.EIO, errno.EUCLEAN)
_NO_UNNAMED_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
_NO_DIRECT_WRITES: Final = (errno.EINVAL, errno.EOPNOTSUPP)
_NO_READS_AT_ONCE: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_NO_MORE_FILES: Final = (errno.EMFILE, errno.ENFILE)
_VERIFY_BYTES: Final = 4 * MIB
_SCRATCH_BYTES_MAX: Final = 1 * MIB
_PIECES_BYTES_MAX: Final = 16 * MIB
"""Memory that reads fill, kept for the next ones: eight pieces of a large download, or many small objects."""
_AT_ONCE_BYTES_MAX: Final = 1 * MIB
"""What is copied out of the page cache and verified without a hop into a thread: 1 MiB takes 150 microseconds, a hop 100."""
_VOUCHED_S: Final = 0.1
"""For how long reads trust that the identity of the drive was there."""
_NS_PER_MS: Final = 1_000_000


class ShardDirectory:
    """The blocking half of `PosixDrive`; raises errors of the store, never `OSError`."""

    def __init__(
        self, directory: Path, drive_id: DriveId, *, reserve_bytes: int | None, system: System
    ) -> None:
        self._root = directory
        self._drive_id = drive_id
        self._reserve_bytes = reserve_bytes
        self._system = system
        self._identity_path = directory / IDENTITY_NAME
        self._shards = directory / SHARDS_NAME
        self._trash = directory / TRASH_NAME
        self._identity_stamp = _stamp(self._identity_path)
        self._uses_unnamed_files = True
        self._writes_directly = True
        self._scratch = AlignedBuffers(kept_bytes_max=_SCRATCH_BYTES_MAX)
        self._pieces = AlignedBuffers(kept_bytes_max=_PIECES_BYTES_MAX)
        self._open_shards = OpenShards()
        self._vouched_until_s = 0.0
        self._reads_at_once = True
        self._failure = ""
        self._refusal = ""

    @property
    def failure(self) -> str:
        """What the drive failed at when it wrote, if it did: somebody should look after it.

        After a failed sync nothing is answered any more; else what is there can still be read.
        """
        return self._failure or self._refusal

    def give_up(self, cause: str) -> None:
        """Answer nothing any more: another process that uses the drive saw it fail."""
        self._failure = self._failure or cause

    def check_in_service(self) -> None:
        """Raise `DriveUnavailable` unless the identity is the one that was opened and no sync
        failed.
        """
        if self._failure:
            raise DriveUnavailable(self._failure, drive=self._drive_id)
        try:
            stamp = _stamp(self._identity_path)
        except OSError as error:
            raise DriveUnavailable(
                "identity of the drive is gone", drive=self._drive_id, reason=str(error)
            ) from error
        if stamp != self._identity_stamp:
            raise DriveUnavailable("identity of the drive has changed", drive=self._drive_id)

    def usage(self) -> DriveUsage:
        """Return the room that is left."""
        self.check_in_service()
        try:
            return usage_of(self._root, self._reserve_bytes)
        except OSError as error:
            raise self._translated(error) from error

    def write(self, shards: Sequence[NewShard]) -> None:
        """Make the shards durable; see `Drive.write`."""
        self._check_room(sum(len(shard.payload) + PREFIX_BYTES for shard in shards))
        linked: list[Path] = []
        try:
            for shard in shards:
                path = self._publish(shard)
                if path is not None:
                    linked.append(path)
            for parent in dict.fromkeys(path.parent for path in linked):
                self._sync_directory(parent)
        except (OSError, ObjstoreError) as error:
            self._take_back(linked)
            if isinstance(error, OSError):
                if error.errno in _FAILING:
                    self._refusal = f"drive cannot be written: {error.strerror}"
                raise self._translated(error) from error
            raise

    def read(self, shard_id: ShardId, *, start: int, length: int) -> Buffer:
        """Return verified bytes of a shard, deleted or not; see `Drive.read`."""
        self._vouch()
        opened = self._open_shards.get(shard_id)
        if opened is not None:
            try:
                return self._read_range(opened, shard_id, start, start + length)
            except (OSError, Corrupt):
                # Damage, or a file that has lost its name to a sound one: the name decides.
                self._open_shards.drop((shard_id,))
        opened = OpenShard(self._open(shard_id, with_trash=True))
        try:
            data = self._read_range(opened, shard_id, start, start + length)
        except (OSError, Corrupt) as error:
            raise self._damaged(shard_id, error) from error
        self._open_shards.keep(shard_id, opened)
        return data

    def read_cached(self, shard_id: ShardId, *, start: int, length: int) -> Buffer | None:
        """Return verified bytes that need no wait; see `Drive.read_cached`. Blocks nobody.

        Whatever is in doubt is left to `read`. So is one read of each `_VOUCHED_S`, which looks whether the drive is still
        there: open files go on working in a directory that was taken away.
        """
        if not self._reads_at_once or self._failure or length > _AT_ONCE_BYTES_MAX:
            return None
        if monotonic() > self._vouched_until_s:
            return None
        opened = self._open_shards.get(shard_id)
        if opened is None:
            return None
        first_chunk = start // CHUNK_BYTES
        room = self._room(first_chunk, start + length)
        expected = min(len(room), opened.prefix.header.payload_bytes - first_chunk * CHUNK_BYTES)
        try:
            if opened.fill_at_once(room, first_chunk) < expected:
                return None
            check_chunks(opened.prefix, first_chunk=first_chunk, data=room[:expected])
        except OSError as error:
            # Network filesystems have no such way; asking them, for the file or its size, could wait for the network.
            self._reads_at_once = error.errno not in _NO_READS_AT_ONCE
            return None
        except Corrupt:
            return None
        offset = start - first_chunk * CHUNK_BYTES
        if offset + length > expected:
            return None
        return room[offset : offset + length].toreadonly()

    @property
    def open_files_count(self) -> int:
        """How many files are open for the next read."""
        return len(self._open_shards)

    def close_idle(self) -> None:
        """Close files that were not read of late."""
        self._open_shards.forget_idle()

    def close_files(self) -> None:
        """Close all files that nothing reads from at this moment."""
        self._open_shards.forget_all()

    def stat(self, shard_id: ShardId) -> ShardHeader:
        """Return the verified header; see `Drive.stat`."""
        fd = self._open(shard_id, with_trash=False)
        try:
            return _read_prefix(fd, shard_id).header
        except (OSError, Corrupt) as error:
            raise self._damaged(shard_id, error) from error
        finally:
            os.close(fd)

    def verify(self, shard_id: ShardId) -> ShardHeader:
        """Verify every byte; see `Drive.verify`."""
        fd = self._open(shard_id, with_trash=False)
        try:
            return _verify_all(fd, shard_id)
        except (OSError, Corrupt) as error:
            raise self._damaged(shard_id, error) from error
        finally:
            os.close(fd)

    def delete(self, shard_ids: Sequence[ShardId], *, at_once: bool, now: Instant) -> int:
        """Move shards to the trash, or remove them; see `Drive.delete`."""
        self.check_in_service()
        count = 0
        for shard_id in shard_ids:
            path = self._path(shard_id)
            try:
                if at_once:
                    self._system.unlink(path)
                    self._open_shards.drop((shard_id,))
                else:
                    os.utime(path, ns=(now * _NS_PER_MS, now * _NS_PER_MS))
                    self._system.rename(path, self._trash / path.name)
                count += 1
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._translated(error) from error
        return count

    def purge_trash(self, deleted_before: Instant | None) -> TrashReport:
        """Remove what was deleted before that time; everything for None."""
        self.check_in_service()
        count = size = 0
        try:
            with os.scandir(self._trash) as entries:
                for entry in entries:
                    status = entry.stat()
                    if deleted_before is None or status.st_mtime_ns < deleted_before * _NS_PER_MS:
                        self._system.unlink(Path(entry.path))
                        if (shard_id := parse_name(entry.name)) is not None:
                            self._open_shards.drop((shard_id,))
                        count += 1
                        size += status.st_size
        except OSError as error:
            raise self._translated(error) from error
        return TrashReport(count, size)

    def list_names(self, directory: int) -> tuple[str, ...]:
        """Return the names in one fan-out directory, sorted."""
        self.check_in_service()
        try:
            return tuple(sorted(os.listdir(self._shards / f"{directory:02x}")))  # noqa: PTH208 -- names, no paths
        except OSError as error:
            raise self._translated(error) from error

    def empty_work_directory(self) -> None:
        """Remove what an interrupted process left under `tmp/`."""
        try:
            for entry in (self._root / TMP_NAME).iterdir():
                self._system.unlink(entry)
        except OSError as error:
            raise self._translated(error) from error

    def _path(self, shard_id: ShardId) -> Path:
        return self._shards / directory_name(shard_id) / shard_id.name

    def _check_room(self, size_bytes: int) -> None:
        """Raise `StorageFull` when the write would touch the reserve, after emptying the trash."""
        usage = self.usage()
        if usage.takes(size_bytes):
            return
        if self.purge_trash(None).shards_count and self.usage().takes(size_bytes):
            return
        raise StorageFull("drive has reached its reserve", drive=self._drive_id)

    def _publish(self, shard: NewShard) -> Path | None:
        """Write one shard and name it; return the new name, or None when it was there already."""
        prefix = encode_prefix(shard)
        path = self._path(shard.header.shard_id)
        temporary, fd = self._open_new(path)
        try:
            self._system.allocate(fd, len(prefix) + len(shard.payload))
            self._fill(fd, prefix, shard.payload)
            self._sync(fd)
            return path if self._name(fd, temporary, shard, path) else None
        finally:
            self._system.close(fd)
            if temporary is not None:
                self._system.unlink(temporary)

    def _fill(self, fd: int, prefix: bytes, payload: Buffer) -> None:
        """Write the bytes: past the page cache where memory and filesystem allow it.

        Copying a large payload into the cache costs more than all the rest of the write.
        """
        if self._writes_directly and isinstance(payload, memoryview) and is_aligned(payload):
            pieces = _aligned_pieces(prefix, payload, self._scratch)
            try:
                self._system.write_direct(fd, pieces)
            except OSError as error:
                if error.errno not in _NO_DIRECT_WRITES:
                    raise
                self._writes_directly = False
            else:
                if len(payload) % ALIGNMENT_BYTES:
                    self._system.truncate(fd, len(prefix) + len(payload))
                return
        self._system.write(fd, (prefix, payload))

    def _open_new(self, path: Path) -> tuple[Path | None, int]:
        if self._uses_unnamed_files:
            try:
                return None, self._system.open_unnamed(path.parent)
            except OSError as error:
                if error.errno not in _NO_UNNAMED_FILES or not path.parent.is_dir():
                    raise
                self._uses_unnamed_files = False
        temporary = self._root / TMP_NAME / path.name
        temporary.unlink(missing_ok=True)
        return temporary, self._system.open_named(temporary)

    def _name(self, fd: int, temporary: Path | None, shard: NewShard, path: Path) -> bool:
        """Link the written file; False when an intact equal shard has the name."""
        try:
            self._link(fd, temporary, path)
        except FileExistsError:
            if self._holds_already(shard):
                return False
            self._system.rename(path, self._root / QUARANTINE_NAME / path.name)
            self._open_shards.drop((shard.header.shard_id,))
            self._link(fd, temporary, path)
        return True

    def _link(self, fd: int, temporary: Path | None, path: Path) -> None:
        if temporary is None:
            self._system.link_unnamed(fd, path)
        else:
            self._system.link(temporary, path)

    def _holds_already(self, shard: NewShard) -> bool:
        """Tell whether the shard on disk is the same; False when it is damaged."""
        shard_id = shard.header.shard_id
        try:
            self.verify(shard_id)
            held = self.read(shard_id, start=0, length=len(shard.payload))
        except UnknownFormat:
            raise
        except Corrupt:
            return False
        if memoryview(held) != memoryview(shard.payload):
            raise CorruptShard(
                "another shard has this name", drive=self._drive_id, shard=shard_id.name
            )
        # Whoever wrote it may not have come to its directory sync.
        self._sync_directory(self._path(shard_id).parent)
        return True

    def _sync(self, fd: int) -> None:
        try:
            self._system.sync(fd)
        except OSError as error:
            if error.errno in _FULL:
                raise
            self._retire(error)

    def _sync_directory(self, directory: Path) -> None:
        try:
            sync_directory(directory, self._system)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._retire(error)

    def _retire(self, error: OSError) -> None:
        self._failure = f"drive is out of service since a sync failed: {error.strerror}"
        raise DriveUnavailable(self._failure, drive=self._drive_id) from error

    def _take_back(self, linked: Sequence[Path]) -> None:
        for path in linked:
            try:
                self._system.unlink(path)
            except OSError:
                # The drive is failing; the sweep finds the unreferenced shard when it is back.
                return

    def _vouch(self) -> None:
        """Look whether the drive is still itself, unless that was done just now; raises `DriveUnavailable`."""
        if self._failure or (now_s := monotonic()) > self._vouched_until_s:
            self.check_in_service()
            self._vouched_until_s = now_s + _VOUCHED_S

    def _room(self, first_chunk: int, stop: int) -> memoryview:
        """Return memory for the chunks that hold what lies between a chunk and `stop`."""
        chunks_count = -(-stop // CHUNK_BYTES) - first_chunk
        return self._pieces.take(max(1, chunks_count) * CHUNK_BYTES)

    def _read_range(
        self, opened: OpenShard, shard_id: ShardId, start: int, stop: int
    ) -> memoryview:
        """Read and verify the chunks that hold a range; return the range."""
        first_chunk = start // CHUNK_BYTES
        aligned_start = first_chunk * CHUNK_BYTES
        room = self._room(first_chunk, stop)
        count = opened.fill(shard_id, room, first_chunk)
        prefix = opened.prefix
        if stop > prefix.header.payload_bytes or aligned_start + count < stop:
            raise CorruptShard("shard has fewer bytes than wanted", shard=shard_id.name, stop=stop)
        data = room[:count]
        check_chunks(prefix, first_chunk=first_chunk, data=data)
        return data[start - aligned_start : stop - aligned_start].toreadonly()

    def _open(self, shard_id: ShardId, *, with_trash: bool) -> int:
        if self._failure:
            raise DriveUnavailable(self._failure, drive=self._drive_id)
        path = self._path(shard_id)
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            return self._open_file(path, flags)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._translated(error) from error
        if with_trash:
            try:
                return os.open(self._trash / path.name, flags)
            except OSError:
                pass
        self.check_in_service()
        raise ShardMissing("shard is not on its drive", drive=self._drive_id, shard=shard_id.name)

    def _open_file(self, path: Path, flags: int) -> int:
        """Open a file, if need be instead of those that are open for the next read."""
        try:
            return os.open(path, flags)
        except OSError as error:
            if error.errno not in _NO_MORE_FILES:
                raise
            self._open_shards.forget_all()
            return os.open(path, flags)

    def _damaged(self, shard_id: ShardId, error: OSError | Corrupt) -> ObjstoreError:
        """Say whose fault a failed read is.

        The drive's when its identity is gone, else the shard's.
        """
        try:
            self.check_in_service()
        except DriveUnavailable as unavailable:
            return unavailable
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            return CorruptShard(
                "shard cannot be read",
                drive=self._drive_id,
                shard=shard_id.name,
                reason=reason,
            )
        error.detail["drive"] = self._drive_id
        return error

    def _translated(self, error: OSError) -> ObjstoreError:
        if error.errno in _FULL:
            return StorageFull("drive is full", drive=self._drive_id, reason=error.strerror or "")
        try:
            self.check_in_service()
        except DriveUnavailable as unavailable:
            return unavailable
        return DriveUnavailable(
            "drive does not work", drive=self._drive_id, reason=error.strerror or str(error)
        )


def _stamp(path: Path) -> tuple[int, int, int, int]:
    """What tells one identity file from another without reading it."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _aligned_pieces(
    prefix: bytes, payload: memoryview, scratch: AlignedBuffers
) -> list[memoryview]:
    """Return the file as aligned pieces; its end is filled up with zeros, for the caller to cut off."""
    room = scratch.take(len(prefix) + ALIGNMENT_BYTES)
    head, last = room[: len(prefix)], room[len(prefix) :]
    head[:] = prefix
    whole = len(payload) - len(payload) % ALIGNMENT_BYTES
    if whole == len(payload):
        return [head, payload]
    rest = payload[whole:]
    last[:] = bytes(rest).ljust(ALIGNMENT_BYTES, b"\0")
    return [head, payload[:whole], last]


def _read_exactly(fd: int, size: int, offset: int) -> bytes:
    data = os.pread(fd, size, offset)
    if len(data) < size:
        raise CorruptShard("shard file is shorter than it should be", size=offset + len(data))
    return data


def _read_prefix(fd: int, shard_id: ShardId) -> ShardPrefix:
    prefix = decode_prefix(os.pread(fd, PREFIX_BYTES, 0))
    check_identity(prefix, shard_id, os.fstat(fd).st_size)
    return prefix


def _verify_all(fd: int, shard_id: ShardId) -> ShardHeader:
    prefix = _read_prefix(fd, shard_id)
    payload_bytes = prefix.header.payload_bytes
    for start in range(0, payload_bytes, _VERIFY_BYTES):
        size = min(_VERIFY_BYTES, payload_bytes - start)
        data = _read_exactly(fd, size, PREFIX_BYTES + start)
        check_chunks(prefix, first_chunk=start // CHUNK_BYTES, data=data)
    return prefix.header

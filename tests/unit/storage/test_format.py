"""The shard file: what one version wrote, every later one reads; what is damaged, nobody takes for data."""

from __future__ import annotations

from pathlib import Path

import pytest
import xxhash

from objstore.model.errors import CorruptShard, InvariantError, UnknownFormat
from objstore.model.names import DataId
from objstore.model.objects import Scheme
from objstore.storage.format import (
    CHUNK_BYTES,
    PREFIX_BYTES,
    SHARD_PAYLOAD_BYTES_MAX,
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

SAMPLE = Path(__file__).parents[2] / "samples" / "shard-v1.bin"
SAMPLE_ID = ShardId(DataId(bytes(range(16))), 7, 258, 3)


def make(payload: bytes) -> NewShard:
    header = ShardHeader(SAMPLE_ID, Scheme(4, 2), 4 * len(payload) - 1, len(payload), b"blockxxh")
    return NewShard(header, payload)


def sample_payload() -> bytes:
    return bytes(number * 7 % 251 for number in range(CHUNK_BYTES + 100))


def test_sample_of_version_1_still_decodes():
    """Shards outlive the program that wrote them: the stored file must be readable for ever."""
    file = SAMPLE.read_bytes()
    prefix = decode_prefix(file[:PREFIX_BYTES])
    assert prefix.header == make(sample_payload()).header
    check_identity(prefix, SAMPLE_ID, len(file))
    check_chunks(prefix, first_chunk=0, data=file[PREFIX_BYTES:])
    assert file[PREFIX_BYTES:] == sample_payload()


def test_encoding_still_makes_the_sample():
    """A change of the bytes without a new version would make old and new nodes disagree."""
    assert encode_prefix(make(sample_payload())) + sample_payload() == SAMPLE.read_bytes()


def test_prefix_says_what_was_put_in():
    """The payload starts at a page, whatever its size, so that ranges of it are ranges of the file."""
    shard = make(b"x" * (3 * CHUNK_BYTES + 1))
    data = encode_prefix(shard)
    assert len(data) == PREFIX_BYTES
    prefix = decode_prefix(data)
    assert prefix.header == shard.header
    assert len(prefix.checksums) == 4 * 8
    assert prefix.file_bytes == PREFIX_BYTES + 3 * CHUNK_BYTES + 1


def test_largest_payload_fits_the_table():
    """The limit is what the table holds; a larger shard must not lose checksums silently."""
    prefix = decode_prefix(encode_prefix(make(bytes(SHARD_PAYLOAD_BYTES_MAX))))
    assert len(prefix.checksums) == SHARD_PAYLOAD_BYTES_MAX // CHUNK_BYTES * 8
    with pytest.raises(InvariantError):
        encode_prefix(make(bytes(SHARD_PAYLOAD_BYTES_MAX + 1)))


@pytest.mark.parametrize("payload", [b"", b"longer than the header says"])
def test_payload_must_be_what_the_header_says(payload):
    """A header with a wrong length would make a good shard unreadable."""
    header = ShardHeader(SAMPLE_ID, Scheme(1, 0), 5, 5)
    with pytest.raises(InvariantError):
        encode_prefix(NewShard(header, payload))


def test_another_magic_is_no_shard():
    """A foreign file under a shard's name is damage, not data."""
    data = bytearray(encode_prefix(make(b"x")))
    data[:4] = b"ELF!"
    with pytest.raises(CorruptShard, match="magic"):
        decode_prefix(data)


def test_short_file_is_damaged():
    """A file that was cut within its prefix must not raise anything but the damage."""
    with pytest.raises(CorruptShard, match="shorter"):
        decode_prefix(encode_prefix(make(b"x"))[:-1])


@pytest.mark.parametrize(("offset", "value"), [(9, 2), (11, 1), (13, 9)])
def test_newer_format_is_told_apart_from_damage(offset, value):
    """Damage is repaired, which replaces the file; what a newer version wrote must be left alone."""
    data = bytearray(encode_prefix(make(b"x")))
    data[offset] = value
    data[120:128] = xxhash.xxh3_64_digest(bytes(data[:120]))
    with pytest.raises(UnknownFormat):
        decode_prefix(data)


def test_shard_of_another_name_is_refused():
    """Catches a write that a drive put into the wrong file (reliability 4.5)."""
    prefix = decode_prefix(encode_prefix(make(b"x")))
    other = ShardId(SAMPLE_ID.data_id, 7, 258, 4)
    with pytest.raises(CorruptShard, match="another shard"):
        check_identity(prefix, other, prefix.file_bytes)


@pytest.mark.parametrize("difference", [-1, 1])
def test_wrong_length_is_refused(difference):
    """A cut file is damage even where the range that is read is still there."""
    prefix = decode_prefix(encode_prefix(make(b"xyz")))
    with pytest.raises(CorruptShard, match="length"):
        check_identity(prefix, SAMPLE_ID, prefix.file_bytes + difference)


def test_chunks_are_checked_at_their_place():
    """Right chunks at the wrong place are wrong data."""
    payload = b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES
    prefix = decode_prefix(encode_prefix(make(payload)))
    check_chunks(prefix, first_chunk=1, data=payload[CHUNK_BYTES:])
    with pytest.raises(CorruptShard):
        check_chunks(prefix, first_chunk=0, data=payload[CHUNK_BYTES:])
    with pytest.raises(CorruptShard):
        check_chunks(prefix, first_chunk=2, data=b"c")


def test_name_and_id_are_one():
    """The checker finds a shard's id from its file name alone."""
    assert parse_name(SAMPLE_ID.name) == SAMPLE_ID


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lost+found",
        SAMPLE_ID.name + ".tmp",
        SAMPLE_ID.name.upper(),
        "00-0-0-0",
        "00" * 16 + "-00-0-0",
        "00" * 16 + "-0-0-1000",
        "00" * 16 + "-4294967296-0-0",
    ],
)
def test_other_names_are_nobodys(name):
    """One id has one name: a second spelling would be a second file of the same shard."""
    assert parse_name(name) is None


def test_shards_of_one_extent_share_a_directory():
    """So that they share one directory sync; parts of an upload spread over directories."""
    same = {directory_name(ShardId(SAMPLE_ID.data_id, 1, block, 0)) for block in range(50)}
    spread = {directory_name(ShardId(SAMPLE_ID.data_id, part, 0, 0)) for part in range(50)}
    assert len(same) == 1
    assert len(spread) > 25

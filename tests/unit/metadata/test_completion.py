"""CompleteMultipartUpload's checks and sums, on plain values."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from objstore.metadata.commands import CompletePart
from objstore.metadata.completion import judge_completion
from objstore.metadata.records import PartHead
from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import composite_digest, digest_of
from objstore.model.errors import (
    BadDigest,
    BadRequestError,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
)
from objstore.model.limits import PART_BYTES_MIN
from objstore.model.objects import PartRun
from objstore.testing.catalog_kit import CommandKit, bucket_record, md5_of

KIT = CommandKit(bucket_record().bucket_id)
CRC32 = ChecksumAlgorithm.CRC32
SHA256 = ChecksumAlgorithm.SHA256
CRC64 = ChecksumAlgorithm.CRC64NVME
DATA = {number: bytes([number]) * PART_BYTES_MIN for number in (1, 2, 3)} | {4: b"end"}


def head(number, algorithm=None):
    data = DATA[number]
    return PartHead(
        number,
        len(data),
        md5_of(data),
        digest_of(algorithm, data) if algorithm else None,
        digest_of(CRC64, data),
    )


def listed(number, etag=None, **checksums):
    given = tuple((ChecksumAlgorithm(name), value) for name, value in checksums.items())
    return CompletePart(number, etag or md5_of(DATA[number]), given)


def judge(parts, numbers=(1, 2, 3, 4), algorithm=None, kind=None, **fields):
    upload = KIT.create_upload(b"k", checksum_algorithm=algorithm, checksum_type=kind).upload
    command = KIT.complete(upload, [], **fields)
    command = type(command)(
        **{name: getattr(command, name) for name in command.__struct_fields__} | {"parts": parts}
    )
    heads = [head(number, algorithm) for number in numbers]
    return judge_completion(upload, heads, command)


def test_the_etag_is_the_md5_of_md5s_with_the_count():
    """Clients recompute it to verify their upload (s3 rule 3.6.1); one part too has its `-1`."""
    done = judge((listed(1), listed(4)))
    joined = bytes.fromhex(md5_of(DATA[1]) + md5_of(DATA[4]))
    assert done.etag == hashlib.md5(joined).hexdigest() + "-2"
    assert judge((listed(4),)).etag.endswith("-1")


def test_runs_and_unlisted_parts():
    """Parts of one size make one run, gaps are allowed, the rest is garbage (s3 rule 4.11.5)."""
    done = judge((listed(1), listed(3), listed(4)))
    assert done.body.runs == (
        PartRun(1, 1, PART_BYTES_MIN),
        PartRun(3, 1, PART_BYTES_MIN),
        PartRun(4, 1, 3),
    )
    assert done.unlisted == (2,)
    assert done.size == 2 * PART_BYTES_MIN + 3
    assert judge((listed(1), listed(2), listed(3))).body.runs == (PartRun(1, 3, PART_BYTES_MIN),)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ((), BadRequestError),
        ((listed(2), listed(1)), InvalidPartOrder),
        ((listed(1), listed(1)), InvalidPartOrder),
        ((listed(1), CompletePart(9, "0" * 32)), InvalidPart),
        ((listed(1, etag="0" * 32),), InvalidPart),
    ],
)
def test_a_wrong_list_is_refused(parts, error):
    """An object made of other parts than the client means is silent corruption (s3 rule 4.11.4)."""
    with pytest.raises(error):
        judge(parts)


def test_only_the_last_part_may_be_small():
    """s3 rule 4.11.4, with the values that S3 names in the error."""
    DATA[5] = b"more"
    with pytest.raises(EntityTooSmall) as caught:
        judge((listed(1), listed(4), listed(5)), numbers=(1, 4, 5))
    assert caught.value.detail == {
        "proposed_size": 3,
        "min_size_allowed": PART_BYTES_MIN,
        "part_number": 4,
        "etag": md5_of(DATA[4]),
    }


def test_full_object_crc_is_that_of_the_bytes():
    """Combined from the parts' CRCs, it must equal the CRC of the whole (s3 rule 3.2.3)."""
    done = judge((listed(1), listed(4)), algorithm=CRC32, kind=ChecksumType.FULL_OBJECT)
    whole = zlib.crc32(DATA[1] + DATA[4]).to_bytes(4, "big")
    assert done.checksum == Checksum(CRC32, ChecksumType.FULL_OBJECT, whole)


def test_an_upload_without_algorithm_gets_crc64nvme():
    """s3 rule 3.5.9."""
    done = judge((listed(1), listed(4)))
    whole = digest_of(CRC64, DATA[1] + DATA[4])
    assert done.checksum == Checksum(CRC64, ChecksumType.FULL_OBJECT, whole)


def test_composite_checksums_need_every_part_and_match():
    """s3 rule 3.5.5: all parts listed with their checksum, else refused."""
    good = [listed(n, sha256=digest_of(SHA256, DATA[n])) for n in (1, 4)]
    done = judge(tuple(good), algorithm=SHA256, kind=ChecksumType.COMPOSITE)
    digest = composite_digest(SHA256, [digest_of(SHA256, DATA[n]) for n in (1, 4)])
    assert done.checksum == Checksum(SHA256, ChecksumType.COMPOSITE, digest, 2)
    with pytest.raises(BadRequestError, match="It was missing for part 4"):
        judge((good[0], listed(4)), algorithm=SHA256, kind=ChecksumType.COMPOSITE)
    with pytest.raises(InvalidPart):
        judge((good[0], listed(4, sha256=bytes(32))), algorithm=SHA256, kind=ChecksumType.COMPOSITE)
    with pytest.raises(BadDigest):
        judge((good[0], listed(4, crc32=bytes(4))), algorithm=SHA256, kind=ChecksumType.COMPOSITE)


def test_a_checksum_that_cannot_be_verified_does_not_pass_for_verified():
    """s3 rule 3.5.5: an upload without algorithm kept CRC64NVME alone; S3 refuses every checksum there."""
    right = digest_of(CRC64, DATA[1])
    assert judge((listed(1, crc64nvme=right),)).checksum.digest == right
    for checksums in ({"crc64nvme": bytes(8)}, {"crc32": digest_of(CRC32, DATA[1])}):
        with pytest.raises(InvalidPart):
            judge((listed(1, **checksums),))


def test_what_the_client_says_of_the_whole_is_verified():
    """Type, checksum and size of the whole (s3 rules 3.5.6, 3.5.7, 3.5.8)."""
    parts = (listed(1),)
    full = {"algorithm": CRC32, "kind": ChecksumType.FULL_OBJECT}
    with pytest.raises(BadRequestError, match="FULL_OBJECT checksum mode"):
        judge(parts, **full, checksum_type=ChecksumType.COMPOSITE)
    with pytest.raises(BadRequestError, match="null checksum mode"):
        judge(parts, checksum_type=ChecksumType.COMPOSITE)
    wrong = Checksum(CRC32, ChecksumType.FULL_OBJECT, bytes(4))
    with pytest.raises(BadDigest):
        judge(parts, **full, checksum=wrong)
    with pytest.raises(BadRequestError, match="header value 7 does not match"):
        judge(parts, object_size=7)
    right = Checksum(CRC32, ChecksumType.FULL_OBJECT, digest_of(CRC32, DATA[1]))
    assert judge(parts, **full, checksum=right, object_size=PART_BYTES_MIN).checksum == right

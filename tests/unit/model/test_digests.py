"""The digest engine against the vectors of the specifications and against a dumb bitwise CRC."""

import base64
import hashlib
import random

import pytest
import xxhash

from objstore.model import digests
from objstore.model.checksum import ChecksumAlgorithm, ChecksumType
from objstore.model.digests import (
    DigestSet,
    combine_full,
    composite_digest,
    decode_digest,
    digest_of,
    encode_digest,
    traits_of,
)
from objstore.model.errors import InvariantError

CHECK_INPUT = b"123456789"

CRC_POLYNOMIALS = {
    ChecksumAlgorithm.CRC32: (0xEDB88320, 32),
    ChecksumAlgorithm.CRC32C: (0x82F63B78, 32),
    ChecksumAlgorithm.CRC64NVME: (0x9A6C9329AC4BC9B5, 64),
}

CHECK_VALUES = {
    ChecksumAlgorithm.CRC32: "cbf43926",
    ChecksumAlgorithm.CRC32C: "e3069283",
    ChecksumAlgorithm.CRC64NVME: "ae8b14860a799888",
    ChecksumAlgorithm.MD5: "25f9e794323b453885f5181f1b624d0b",
    ChecksumAlgorithm.SHA1: "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    ChecksumAlgorithm.SHA256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    ChecksumAlgorithm.XXHASH64: "8cb841db40e6ae83",
}


def bitwise_crc(algorithm, data):
    """The textbook reflected CRC, one bit at a time."""
    polynomial, width = CRC_POLYNOMIALS[algorithm]
    mask = (1 << width) - 1
    value = mask
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return (value ^ mask).to_bytes(width // 8, "big")


@pytest.mark.parametrize(("algorithm", "expected"), CHECK_VALUES.items())
def test_published_check_values(algorithm, expected):
    """A digest with other parameters refuses every upload of every client (s3 rule 3.2.2)."""
    assert digest_of(algorithm, CHECK_INPUT).hex() == expected


def test_xxh3_digests_are_canonical_big_endian_with_seed_zero():
    """Byte order is the usual mistake with xxHash; S3 wants the canonical one (s3 rule 3.2.1)."""
    assert digest_of(ChecksumAlgorithm.XXHASH3, b"").hex() == "2d06800538d394c2"
    assert digest_of(ChecksumAlgorithm.XXHASH64, b"").hex() == "ef46db3751d8e999"
    assert digest_of(ChecksumAlgorithm.XXHASH128, b"").hex() == "99aa06d3014798d86001c324468d497f"
    assert digest_of(ChecksumAlgorithm.XXHASH3, CHECK_INPUT) == xxhash.xxh3_64_intdigest(
        CHECK_INPUT, seed=0
    ).to_bytes(8, "big")


@pytest.mark.parametrize("algorithm", CRC_POLYNOMIALS)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 65, 1000])
def test_native_crc_equals_the_bitwise_one(algorithm, size):
    """Vectorised CRCs switch code paths by length; each path must agree with the definition."""
    data = random.Random(size).randbytes(size)
    assert digest_of(algorithm, data) == bitwise_crc(algorithm, data)


def test_recorded_crc64nvme_of_a_multipart_object():
    """A value recorded from S3 itself: five times `upload-part-1` (s3 rule 3.2.2)."""
    data = b"upload-part-1" * 5
    assert encode_digest(digest_of(ChecksumAlgorithm.CRC64NVME, data)) == "CTXktO4pIQs="
    part = digest_of(ChecksumAlgorithm.CRC64NVME, b"upload-part-1")
    assert combine_full(ChecksumAlgorithm.CRC64NVME, [(part, 13)] * 5).hex() == (
        digest_of(ChecksumAlgorithm.CRC64NVME, data).hex()
    )


def test_recorded_composite_value():
    """A composite value recorded from S3 itself (s3 rule 3.2.4)."""
    parts = [base64.b64decode(text) for text in ("NRU+Sw==", "NRU+Sw==", "TBHN8A==")]
    assert encode_digest(composite_digest(ChecksumAlgorithm.CRC32, parts)) == "5FRUiw=="


def test_composite_of_sha256_hashes_raw_digests():
    """Concatenating base64 or hex instead of raw digests is the classic mistake (s3 rule 3.2.4)."""
    parts = [hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()]
    expected = hashlib.sha256(parts[0] + parts[1]).digest()
    assert composite_digest(ChecksumAlgorithm.SHA256, parts) == expected


@pytest.mark.parametrize("algorithm", CRC_POLYNOMIALS)
def test_combining_parts_equals_the_crc_of_the_whole(algorithm):
    """FULL_OBJECT checksums of multipart uploads are never read from data (s3 rule 3.2.3)."""
    pieces = [random.Random(n).randbytes(n) for n in (0, 1, 5, 0, 300, 4096, 3)]
    parts = [(digest_of(algorithm, piece), len(piece)) for piece in pieces]
    assert combine_full(algorithm, parts) == digest_of(algorithm, b"".join(pieces))
    assert combine_full(algorithm, []) == digest_of(algorithm, b"")


def test_combining_huge_parts_takes_lengths_beyond_32_bits():
    """A part of 5 GiB must not be cut to 32 bits; zeros beyond 4 GiB change the CRC."""
    algorithm = ChecksumAlgorithm.CRC32C
    first = digest_of(algorithm, b"x")
    zero_mib = digest_of(algorithm, bytes(1 << 20))
    zeros_5_gib = combine_full(algorithm, [(zero_mib, 1 << 20)] * 5120)
    one_by_one = combine_full(algorithm, [(first, 1), *[(zero_mib, 1 << 20)] * 5120])
    assert combine_full(algorithm, [(first, 1), (zeros_5_gib, 5 << 30)]) == one_by_one
    zeros_1_gib = combine_full(algorithm, [(zero_mib, 1 << 20)] * 1024)
    assert combine_full(algorithm, [(first, 1), (zeros_1_gib, 1 << 30)]) != one_by_one


def test_combine_refuses_hashes_and_wrong_lengths():
    """Combining a SHA would store a made-up value; a cut CRC would too."""
    with pytest.raises(InvariantError):
        combine_full(ChecksumAlgorithm.SHA256, [(bytes(32), 1)])
    with pytest.raises(InvariantError):
        combine_full(ChecksumAlgorithm.CRC32, [(bytes(8), 1)])


@pytest.mark.parametrize("algorithm", ChecksumAlgorithm)
def test_digest_set_over_pieces_equals_one_shot(algorithm):
    """A body arrives in arbitrary pieces and buffer types; the digest may not depend on them."""
    data = random.Random(7).randbytes(100_000)
    digests_of_body = DigestSet(algorithms=[algorithm], sha256_payload=True)
    for start in range(0, len(data), 7001):
        piece = memoryview(data)[start : start + 7001]
        digests_of_body.update(piece if start % 2 else bytearray(piece))
    digests_of_body.update(b"")
    assert digests_of_body.digest(algorithm) == digest_of(algorithm, data)
    assert digests_of_body.md5_digest() == hashlib.md5(data, usedforsecurity=False).digest()
    assert digests_of_body.sha256_payload_digest() == hashlib.sha256(data).digest()
    assert digests_of_body.size_bytes == len(data)


def test_digests_may_be_read_on_the_way():
    """Reading a digest does not end the computation."""
    digests_of_body = DigestSet(algorithms=[ChecksumAlgorithm.CRC32])
    digests_of_body.update(b"1234")
    early = digests_of_body.md5_digest()
    digests_of_body.update(b"56789")
    assert early == hashlib.md5(b"1234", usedforsecurity=False).digest()
    assert digests_of_body.digest(ChecksumAlgorithm.CRC32).hex() == "cbf43926"


def test_digest_not_asked_for_is_our_bug():
    """A missing digest must fail loudly instead of skipping a check."""
    with pytest.raises(InvariantError):
        DigestSet(md5=False).md5_digest()


def test_md5_works_where_openssl_forbids_it_for_security(monkeypatch):
    """On a FIPS build MD5 without the flag raises; ETags need it all the same."""
    seen = []
    real = hashlib.md5

    def strict_md5(*arguments, **options):
        seen.append(options)
        if options.get("usedforsecurity", True):
            raise ValueError("disabled for FIPS")
        return real(*arguments, **options)

    monkeypatch.setattr(digests.hashlib, "md5", strict_md5)
    assert DigestSet().md5_digest().hex() == "d41d8cd98f00b204e9800998ecf8427e"
    assert seen == [{"usedforsecurity": False}]


@pytest.mark.parametrize("algorithm", ChecksumAlgorithm)
def test_base64_round_trip_checks_the_length(algorithm):
    """A digest of another algorithm's length may never be compared or stored (s3 rule 3.3.2)."""
    digest = digest_of(algorithm, b"body")
    assert len(digest) == traits_of(algorithm).digest_bytes
    assert decode_digest(algorithm, encode_digest(digest)) == digest
    assert decode_digest(algorithm, encode_digest(digest + b"x")) is None
    assert decode_digest(algorithm, encode_digest(digest[:-1])) is None


@pytest.mark.parametrize(
    "text",
    ["", "AAAAAA", "AAAA AA==", "AAAAAA==\n", "AAAAA===", "AAAA_-==", "AAAAAA==AA", "é" * 8, "%%%"],
)
def test_malformed_base64_is_none(text):
    """Lenient decoders skip foreign characters and would accept a garbled header."""
    assert decode_digest(ChecksumAlgorithm.CRC32, text) is None
    assert decode_digest(ChecksumAlgorithm.CRC32, text.encode()) is None


def test_types_of_algorithms():
    """The table of s3 rules 3.2: what may be used for multipart, and what is assumed."""
    both = {ChecksumType.FULL_OBJECT, ChecksumType.COMPOSITE}
    for algorithm in ChecksumAlgorithm:
        traits = traits_of(algorithm)
        assert traits.multipart_type_default in traits.multipart_types
        assert traits.combines == (ChecksumType.FULL_OBJECT in traits.multipart_types)
    assert set(traits_of(ChecksumAlgorithm.CRC32).multipart_types) == both
    assert traits_of(ChecksumAlgorithm.CRC32).multipart_type_default is ChecksumType.COMPOSITE
    nvme = traits_of(ChecksumAlgorithm.CRC64NVME)
    assert nvme.multipart_types == (ChecksumType.FULL_OBJECT,)
    assert traits_of(ChecksumAlgorithm.SHA1).multipart_types == (ChecksumType.COMPOSITE,)

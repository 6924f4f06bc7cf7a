"""Answers about multipart uploads, as boto clients read them."""

from datetime import UTC, datetime

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.objects import InlineBody, Part, Upload
from objstore.s3.outputs import (
    CompleteMultipartUploadOutput,
    CopyPartOutput,
    CreateMultipartUploadOutput,
    ListPartsOutput,
    UploadPartOutput,
)

MODIFIED = 1_767_323_045_678
SHOWN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CRC32 = Checksum(ChecksumAlgorithm.CRC32, ChecksumType.FULL_OBJECT, bytes(4))
UPLOADED = Part(3, 5, "abc", MODIFIED, InlineBody(), CRC32)


def upload(**fields):
    return Upload("u1", b"k&", MODIFIED, owner="0" * 64, initiator="1" * 64, **fields)


def test_create_echoes_the_checksum_it_resolved(seen_by_client):
    """The transfer manager of boto reads it back (s3 rule 3.5.1)."""
    output = CreateMultipartUploadOutput(
        "bucket", b"k&", "u1", ChecksumAlgorithm.CRC32, ChecksumType.COMPOSITE
    )
    assert seen_by_client("CreateMultipartUpload", output) == {
        "Bucket": "bucket",
        "Key": "k&",
        "UploadId": "u1",
        "ChecksumAlgorithm": "CRC32",
        "ChecksumType": "COMPOSITE",
    }
    plain = CreateMultipartUploadOutput("bucket", b"k&", "u1", None, None)
    assert set(seen_by_client("CreateMultipartUpload", plain)) == {"Bucket", "Key", "UploadId"}


def test_parts_answer_with_etag_and_checksum(seen_by_client, encode):
    """Complete needs both again, so a client must get them here (s3 rules 3.5.3, 4.10.2, 4.11.3)."""
    reply = encode("UploadPart", UploadPartOutput("abc", CRC32))
    assert reply.headers == [(b"ETag", b'"abc"'), (b"x-amz-checksum-crc32", b"AAAAAA==")]
    assert reply.body == b""
    assert seen_by_client("UploadPartCopy", CopyPartOutput("abc", MODIFIED, CRC32, "s1")) == {
        "CopySourceVersionId": "s1",
        "CopyPartResult": {"ETag": '"abc"', "LastModified": SHOWN, "ChecksumCRC32": "AAAAAA=="},
    }


def test_complete_tells_what_came_of_it(seen_by_client):
    """A composite checksum keeps its number of parts here (s3 rules 3.4.5, 4.11.6)."""
    composite = Checksum(ChecksumAlgorithm.CRC32, ChecksumType.COMPOSITE, bytes(4), 3)
    output = CompleteMultipartUploadOutput(
        "bucket", b"k&", "abc-3", composite, "v1", "http://host/bucket/k%26"
    )
    assert seen_by_client("CompleteMultipartUpload", output) == {
        "Location": "http://host/bucket/k%26",
        "Bucket": "bucket",
        "Key": "k&",
        "ETag": '"abc-3"',
        "ChecksumCRC32": "AAAAAA==-3",
        "ChecksumType": "COMPOSITE",
        "VersionId": "v1",
    }


def test_a_page_of_parts_reads_back(seen_by_client):
    """Resuming clients rebuild their part list from it (s3 rules 3.5.4, 4.12.1)."""
    kind = {
        "checksum_algorithm": ChecksumAlgorithm.CRC32,
        "checksum_type": ChecksumType.FULL_OBJECT,
    }
    output = ListPartsOutput("bucket", upload(**kind), [UPLOADED], 1, 2, is_truncated=True)
    assert seen_by_client("ListParts", output) == {
        "Bucket": "bucket",
        "Key": "k&",
        "UploadId": "u1",
        "PartNumberMarker": 2,
        "NextPartNumberMarker": 3,
        "MaxParts": 1,
        "IsTruncated": True,
        "Parts": [
            {
                "PartNumber": 3,
                "LastModified": SHOWN,
                "ETag": '"abc"',
                "Size": 5,
                "ChecksumCRC32": "AAAAAA==",
            }
        ],
        "Initiator": {"ID": "1" * 64},
        "Owner": {"ID": "0" * 64},
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": "CRC32",
        "ChecksumType": "FULL_OBJECT",
    }


def test_uploads_without_algorithm_list_no_checksums(encode):
    """A part's own checksum is verified but not listed (s3 rules 3.5.3, 3.5.4)."""
    body = encode("ListParts", ListPartsOutput("bucket", upload(), [UPLOADED], 1000, 0, False)).body
    assert b"Checksum" not in body
    empty = encode("ListParts", ListPartsOutput("bucket", upload(), [], 1000, 0, False)).body
    assert b"<NextPartNumberMarker>0</NextPartNumberMarker>" in empty

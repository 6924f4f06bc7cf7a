"""Decoding of multipart uploads."""

import pytest

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.errors import (
    BadRequestError,
    InvalidArgument,
    InvalidPartOrder,
    MalformedXml,
    NotImplementedByStore,
)
from objstore.s3.inputs import (
    AbortMultipartUploadInput,
    CompletedPart,
    ListPartsInput,
    UploadPartInput,
)

UPLOAD = {"uploadId": "u1"}


def complete(decode, inner, headers=None):
    xml = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>"
    return decode("CompleteMultipartUpload", method="POST", xml=xml, query=UPLOAD, headers=headers)


def part(number, etag="a", more=""):
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>"


def test_a_part_is_named_by_upload_and_number(decode):
    """The upload id stays as it came: an unknown one does not exist (s3 rules 4.11.2, 4.11.3)."""
    found = decode("UploadPart", query=UPLOAD | {"partNumber": "10000"})
    assert found == UploadPartInput("bucket", b"key", "u1", 10000)


def test_a_copied_part_takes_source_and_range(decode):
    """The range is strict here (s3 rules 4.10.1, 4.10.3)."""
    headers = {
        "x-amz-copy-source": "source/k?versionId=v",
        "x-amz-copy-source-range": "bytes=0-9",
        "x-amz-source-expected-bucket-owner": "123456789012",
    }
    found = decode("UploadPartCopy", query=UPLOAD | {"partNumber": "1"}, headers=headers)
    assert (found.source.key, found.source.version_id, found.source_range) == (b"k", "v", (0, 9))
    assert found.source.expected_owner == "123456789012"
    with pytest.raises(InvalidArgument):
        decode(
            "UploadPartCopy",
            query=UPLOAD | {"partNumber": "1"},
            headers=headers | {"x-amz-copy-source-range": "bytes=0-"},
        )


def test_create_resolves_the_checksum(decode):
    """CRC32 without a type is composite (s3 rules 3.2, 3.5.1)."""
    found = decode("CreateMultipartUpload", headers={"x-amz-checksum-algorithm": "crc32"})
    assert found.checksum_algorithm is ChecksumAlgorithm.CRC32
    assert found.checksum_type is ChecksumType.COMPOSITE
    assert decode("CreateMultipartUpload").checksum_algorithm is None


def test_complete_takes_parts_in_order(decode):
    """ETags come quoted, escaped or bare, numbers may have gaps (s3 rules 4.11.4, 4.11.5)."""
    inner = (
        part(1, '"a"')
        + part(5, "&quot;b&quot;", "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>")
        + part(10000, "c")
    )
    headers = {
        "x-amz-checksum-crc32": "AAAAAA==-3",
        "x-amz-checksum-type": "COMPOSITE",
        "x-amz-mp-object-size": "77",
        "if-none-match": "*",
    }
    found = complete(decode, inner, headers)
    assert found.parts == (
        CompletedPart(1, "a"),
        CompletedPart(5, "b", ((ChecksumAlgorithm.CRC32, bytes(4)),)),
        CompletedPart(10000, "c"),
    )
    assert found.checksum == Checksum(ChecksumAlgorithm.CRC32, ChecksumType.COMPOSITE, bytes(4), 3)
    assert (found.checksum_type, found.object_size) == (ChecksumType.COMPOSITE, 77)
    assert found.conditions.if_none_match
    assert found.upload_id == "u1"


@pytest.mark.parametrize("numbers", [(2, 1), (1, 1)])
def test_complete_wants_ascending_numbers(decode, numbers):
    """A repeated or misplaced part would change the object (s3 rule 4.11.4)."""
    with pytest.raises(InvalidPartOrder) as caught:
        complete(decode, "".join(map(part, numbers)))
    assert caught.value.detail == {"upload_id": "u1"}


def test_complete_refuses_documents_that_say_too_little(decode):
    """Each with the error that S3 was recorded with (s3 rule 4.11.4)."""
    with pytest.raises(BadRequestError, match="You must specify at least one part"):
        complete(decode, "")
    for inner in (
        "<Part><PartNumber>1</PartNumber></Part>",
        "<Part><ETag>a</ETag></Part>",
        part("x"),
        part(""),
    ):
        with pytest.raises(MalformedXml):
            complete(decode, inner)
    for number in (0, -1, 10001):
        with pytest.raises(InvalidArgument):
            complete(decode, part(number))
    with pytest.raises(MalformedXml):
        decode("CompleteMultipartUpload", query=UPLOAD)


@pytest.mark.parametrize(
    "more",
    [
        "<ChecksumCRC32>zz</ChecksumCRC32>",
        "<ChecksumSHA1>AAAAAA==</ChecksumSHA1>",
        "<ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>",
    ],
)
def test_complete_refuses_unreadable_checksums_of_parts(decode, more):
    """A checksum that cannot be compared must not pass for compared (s3 rule 3.5.5)."""
    with pytest.raises(InvalidArgument) as caught:
        complete(decode, part(1, more=more))
    assert caught.value.detail["argument_name"] == "Checksum"


@pytest.mark.parametrize("text", ["-1", "x", ""])
def test_complete_refuses_sizes_that_are_no_numbers(decode, text):
    """The announced size is a check, not a hint (s3 rule 3.5.8)."""
    with pytest.raises(BadRequestError):
        complete(decode, part(1), {"x-amz-mp-object-size": text})


def test_list_parts_pages_by_number(decode):
    """Empty parameters mean the default (s3 rule 4.12.2)."""
    query = UPLOAD | {"max-parts": "", "part-number-marker": ""}
    assert decode("ListParts", query=query) == ListPartsInput("bucket", b"key", "u1", 1000, 0)
    query = UPLOAD | {"max-parts": "5000", "part-number-marker": "7"}
    assert decode("ListParts", query=query) == ListPartsInput("bucket", b"key", "u1", 1000, 7)
    for name in ("max-parts", "part-number-marker"):
        for text in ("-1", "x"):
            with pytest.raises(InvalidArgument) as caught:
                decode("ListParts", query=UPLOAD | {name: text})
            assert caught.value.detail["argument_name"] == name


def test_abort_has_no_conditions_here(decode):
    """The condition of directory buckets is refused, not dropped (s3 rule 4.11.10)."""
    assert decode("AbortMultipartUpload", query=UPLOAD) == AbortMultipartUploadInput(
        "bucket", b"key", "u1"
    )
    with pytest.raises(NotImplementedByStore):
        decode("AbortMultipartUpload", headers={"x-amz-if-match-initiated-time": "x"})

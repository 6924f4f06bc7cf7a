"""What a request says about its body."""

import pytest

from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.errors import (
    BadRequestError,
    EntityTooLarge,
    InvalidArgument,
    InvalidDigest,
    MalformedTrailer,
    MissingContentLength,
)
from objstore.s3.checksums import (
    BodyExpectations,
    checksum_headers,
    checksum_text,
    expected_checksums,
    new_upload_checksum,
    object_checksum,
)
from objstore.s3.request import Query, RawRequest, S3Request

CRC32 = ChecksumAlgorithm.CRC32
MULTIPLE = "Expecting a single x-amz-checksum- header"
TRAILER = {
    "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "x-amz-trailer": "x-amz-checksum-crc32",
}


def expect(method="PUT", query=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {"content-length": "3"} | headers
    query = query or {}
    raw = RawRequest(method, b"/b/k", b"", (), "http")
    return expected_checksums(
        S3Request(raw, method, "b", b"k", Query(tuple(query.items()), query), headers)
    )


def test_a_body_may_state_nothing_but_its_length():
    """Old clients send no digest at all (s3 rule 3.4.1)."""
    assert expect() == BodyExpectations(None, None, None, 3)


def test_digests_are_read():
    """MD5 and one checksum may come together (s3 rules 3.1.1, 3.3.1)."""
    found = expect(
        content_md5="1B2M2Y8AsgTpgAmY7PhCfg==",
        x_amz_checksum_crc32="AAAAAA==",
        x_amz_sdk_checksum_algorithm="CRC32",
    )
    assert found.content_md5 == bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")
    assert found.checksum == Checksum(CRC32, ChecksumType.FULL_OBJECT, bytes(4))
    assert found.algorithm is CRC32


@pytest.mark.parametrize("value", ["", "x", "AAAA", "1B2M2Y8AsgTpgAmY7PhCfg", "é"])
def test_content_md5_is_sixteen_bytes_in_base64(value):
    """An empty one is wrong as well (s3 rule 3.1.1)."""
    with pytest.raises(InvalidDigest, match="The Content-MD5 you specified was invalid") as caught:
        expect(content_md5=value)
    assert caught.value.detail == {"content_md5": value}


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"x_amz_checksum_crc32": "AAAAAA==", "x_amz_checksum_sha1": "x"}, MULTIPLE),
        ({"x_amz_checksum_crc32": "AAAA"}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x_amz_checksum_sha1": "AAAAAA=="}, "Value for x-amz-checksum-sha1 header is invalid."),
        ({"x_amz_checksum_foo": "AAAA"}, "The algorithm type you specified in x-amz-checksum-"),
        ({"x_amz_sdk_checksum_algorithm": "CRC32"}, "but no corresponding x-amz-checksum-"),
        (
            {"x_amz_sdk_checksum_algorithm": "SHA1", "x_amz_checksum_crc32": "AAAAAA=="},
            "Value for x-amz-sdk-checksum-algorithm header is invalid.",
        ),
    ],
)
def test_statements_that_cannot_be_checked_are_refused(headers, text):
    """Accepting them would store a body that its sender believes verified (s3 rules 3.3.1 to 3.3.3)."""
    with pytest.raises(BadRequestError, match=text):
        expect(**headers)


def test_headers_that_are_no_values_do_not_count():
    """Three names begin like a value (s3 rules 3.3.4, 3.4.2)."""
    found = expect(
        x_amz_checksum_mode="ENABLED",
        x_amz_checksum_type="FULL_OBJECT",
        x_amz_checksum_algorithm="CRC32",
    )
    assert found.algorithm is None


def test_a_trailer_names_its_algorithm():
    """Its value comes last, but its name is known at once (s3 rule 2.4.6)."""
    found = expect(**TRAILER, x_amz_sdk_checksum_algorithm="CRC32")
    assert (found.trailer_algorithm, found.algorithm, found.checksum) == (CRC32, CRC32, None)


@pytest.mark.parametrize(
    ("headers", "error", "text"),
    [
        ({"x-amz-trailer": "x-amz-meta-a"}, BadRequestError, "is not supported"),
        ({"x-amz-trailer": "x-amz-checksum-foo"}, BadRequestError, "is not supported"),
        ({"x-amz-trailer": ""}, BadRequestError, "is not supported"),
        (
            {"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"},
            BadRequestError,
            MULTIPLE,
        ),
        ({"x-amz-checksum-sha1": "A" * 27 + "="}, BadRequestError, MULTIPLE),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, MalformedTrailer, None),
    ],
)
def test_trailers_that_cannot_come_true_are_refused(headers, error, text):
    """A promised checksum that never comes must not pass for a verified one (s3 rule 2.4.6)."""
    with pytest.raises(error, match=text):
        expect(**TRAILER | headers)


def test_the_length_is_that_of_the_object():
    """An aws-chunked body is longer than what it carries (s3 rules 1.6.2, 2.4.4)."""
    streaming = {"x_amz_content_sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    assert expect(**streaming, x_amz_decoded_content_length="2").size_bytes == 2
    assert expect(**streaming).size_bytes is None
    for text in ("", "-1", "x"):
        with pytest.raises(InvalidArgument):
            expect(content_length=text)


def test_a_body_has_a_length_or_an_end():
    """Without either nobody knows where it stops (s3 rule 1.6.2)."""

    def without_length(headers, **how):
        raw = RawRequest("PUT", b"/b/k", b"", (), "http")
        return expected_checksums(S3Request(raw, "PUT", "b", b"k", Query((), {}), headers), **how)

    assert without_length({"transfer-encoding": "chunked"}).size_bytes is None
    with pytest.raises(MissingContentLength):
        without_length({})
    # A document may be left out altogether: `curl -X PUT` makes a bucket without announcing a length.
    assert without_length({}, is_length_required=False).size_bytes == 0


def test_a_body_of_more_than_five_gib_is_refused_at_once():
    """Before a byte of it was sent (s3 rule 1.6.3)."""
    limit = 5 * 1024**3
    assert expect(content_length=str(limit)).size_bytes == limit
    with pytest.raises(EntityTooLarge) as caught:
        expect(content_length=str(limit + 1))
    assert caught.value.detail == {"proposed_size": limit + 1, "max_size_allowed": limit}


def test_complete_speaks_of_the_object_and_not_of_its_document():
    """Its value header may even be composite (s3 rule 3.5.7)."""
    found = expect(
        "POST",
        {"uploadId": "u"},
        x_amz_checksum_crc32="AAAAAA==-2",
        x_amz_sdk_checksum_algorithm="CRC32",
    )
    assert found.checksum is None
    assert object_checksum({"x-amz-checksum-crc32": "AAAAAA==-2"}) == Checksum(
        CRC32, ChecksumType.COMPOSITE, bytes(4), 2
    )
    assert object_checksum({"x-amz-checksum-crc32": "AAAAAA=="}) == Checksum(
        CRC32, ChecksumType.FULL_OBJECT, bytes(4)
    )
    assert object_checksum({"x-amz-checksum-type": "COMPOSITE"}) is None
    with pytest.raises(BadRequestError):
        object_checksum({"x-amz-checksum-crc32": "AAAA-2"})
    for count in ("0", "007", "-2"):
        with pytest.raises(BadRequestError):
            object_checksum({"x-amz-checksum-crc32": f"AAAAAA==-{count}"})


DEFAULT_TYPES = {CRC32: "COMPOSITE", ChecksumAlgorithm.CRC64NVME: "FULL_OBJECT"}


@pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
def test_uploads_have_a_default_type(algorithm):
    """CRC64NVME alone is of the full object; any case will do (s3 rules 3.2, 3.3.5)."""
    for name in (algorithm.value, algorithm.name):
        found = new_upload_checksum({"x-amz-checksum-algorithm": name})
        wanted = DEFAULT_TYPES.get(algorithm, "COMPOSITE")
        assert found == (algorithm, ChecksumType(wanted))


@pytest.mark.parametrize(
    ("algorithm", "kind", "text"),
    [
        ("foo", None, r"unsupported. Please try again with any of the valid types: \[CRC32, "),
        (None, "FULL_OBJECT", "can only be used with the x-amz-checksum-algorithm header"),
        ("SHA1", "FULL_OBJECT", "FULL_OBJECT checksum type cannot be used with the sha1 checksum"),
        ("CRC64NVME", "COMPOSITE", "COMPOSITE checksum type cannot be used with the crc64nvme"),
        ("CRC32", "PARTIAL", "Value for x-amz-checksum-type header is invalid."),
    ],
)
def test_uploads_refuse_pairs_that_do_not_exist(algorithm, kind, text):
    """An upload that could never complete is refused at its start (s3 rules 3.2, 3.3.4)."""
    headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
    with pytest.raises(BadRequestError, match=text):
        new_upload_checksum({name: value for name, value in headers.items() if value})


def test_answers_name_algorithm_and_type():
    """Composite values end in the number of parts (s3 rules 3.4.1, 3.4.5)."""
    composite = Checksum(CRC32, ChecksumType.COMPOSITE, bytes(4), 3)
    assert checksum_text(composite) == "AAAAAA==-3"
    assert checksum_headers(composite) == [
        (b"x-amz-checksum-crc32", b"AAAAAA==-3"),
        (b"x-amz-checksum-type", b"COMPOSITE"),
    ]
    assert checksum_headers(None) == []

"""Decoding of operations on objects."""

import pytest

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.errors import (
    BadRequestError,
    InvalidArgument,
    InvalidStorageClass,
    InvalidTag,
    KeyTooLong,
    MalformedXml,
    MetadataTooLarge,
    NotImplementedByStore,
)
from objstore.model.objects import Conditions, SystemMetadata
from objstore.s3.inputs import DeleteEntry, RangeSpec, ReadConditions


def test_put_takes_every_header_that_an_object_keeps(decode):
    """What is not taken here is lost for good (s3 rules 4.4.1, 4.6.1, 4.7.2, 4.8.2)."""
    headers = {
        "content-type": "text/plain",
        "cache-control": "no-cache",
        "content-disposition": "attachment",
        "content-encoding": "gzip, aws-chunked",
        "content-language": "en",
        "expires": "not a date",
        "x-amz-website-redirect-location": "/other",
        "x-amz-meta-color": "red",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-tagging": "a=1&b=2",
        "x-amz-acl": "private",
        "x-amz-mfa": "ignored",
    }

    found = decode("PutObject", method="PUT", headers=headers)

    assert found.new.system == SystemMetadata(
        "text/plain", "no-cache", "attachment", "gzip", "en", "not a date", "/other"
    )
    assert found.new.user == (("color", "red"),)
    assert found.new.tags == (("a", "1"), ("b", "2"))
    assert found.new.storage_class == "STANDARD_IA"
    assert found.conditions == Conditions()


@pytest.mark.parametrize(
    "name", ["OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "standard", ""]
)
def test_storage_classes_that_cannot_be_honoured_are_refused(decode, name):
    """A label that promises another medium would be a lie (s3 rule 4.7.1)."""
    with pytest.raises(InvalidStorageClass) as caught:
        decode("PutObject", method="PUT", headers={"x-amz-storage-class": name})
    assert caught.value.detail == {"storage_class_requested": name}


def test_put_refuses_what_is_too_large_or_malformed(decode):
    """Limits are judged before a byte of the body is read (s3 rules 4.6.2, 4.8.3)."""
    with pytest.raises(MetadataTooLarge):
        decode("PutObject", headers={"x-amz-meta-a": "x" * 2048})
    with pytest.raises(InvalidTag):
        decode("PutObject", headers={"x-amz-tagging": "aws:a=1"})


# --- conditions of writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, Conditions()),
        ({"if-none-match": "*"}, Conditions(if_none_match=True)),
        ({"if-match": '"abc"'}, Conditions(if_match="abc")),
        ({"if-match": "abc-3"}, Conditions(if_match="abc-3")),
    ],
)
@pytest.mark.parametrize(
    "operation",
    ["PutObject", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload"],
)
def test_supported_conditions_of_writes(decode, operation, headers, wanted):
    """Put, Copy and Complete take the same two (s3 rule 4.5.1); some clients send them with Create too."""
    xml = None
    if operation == "CompleteMultipartUpload":
        xml = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"
    if operation == "CopyObject":
        headers = headers | {"x-amz-copy-source": "source/key"}

    assert decode(operation, headers=headers, xml=xml).conditions == wanted


@pytest.mark.parametrize(
    ("headers", "shown", "reason"),
    [
        (
            {"if-none-match": '"abc"'},
            "If-None-Match",
            "We don't accept the provided value of If-None-Match header for this API",
        ),
        (
            {"if-match": "*"},
            "If-Match",
            "We don't accept the provided value of If-Match header for this API",
        ),
        (
            {"if-match": '"a", "b"'},
            "If-Match",
            "We don't accept the provided value of If-Match header for this API",
        ),
        (
            {"if-match": "a", "if-none-match": "*"},
            "If-Match,If-None-Match",
            "Multiple conditional request headers present in the request",
        ),
    ],
)
def test_unsupported_conditions_of_writes_are_refused_by_name(decode, headers, shown, reason):
    """A condition passed over would overwrite what the writer meant to spare (s3 rule 4.5.2)."""
    with pytest.raises(NotImplementedByStore) as caught:
        decode("PutObject", headers=headers)
    assert caught.value.detail == {"header": shown, "additional_message": reason}
    assert "implies functionality" in caught.value.message


@pytest.mark.parametrize("name", ["if-modified-since", "if-unmodified-since"])
def test_dates_are_no_conditions_of_writes(decode, name):
    """S3 has no such conditions on writes, and ignoring them would lose an update (s3 rule 4.5.1)."""
    with pytest.raises(NotImplementedByStore):
        decode("PutObject", headers={name: "Fri, 20 Nov 2026 00:00:00 GMT"})


def test_conditions_do_not_belong_to_parts(decode):
    """A part makes no object that a condition could guard (s3 rule 4.5.1)."""
    with pytest.raises(NotImplementedByStore) as caught:
        decode("UploadPart", headers={"if-none-match": "*"}, query={"partNumber": "1"})
    assert caught.value.detail["header"] == "If-None-Match"


# --- reads ------------------------------------------------------------------------------------------------------


def test_get_takes_conditions_range_and_overrides(decode):
    """One input serves GET and HEAD (s3 rules 4.1 to 4.3)."""
    headers = {
        "if-match": '"a", W/"b"',
        "if-none-match": "*",
        "if-modified-since": "Thu, 01 Jan 1970 00:00:10 GMT",
        "if-unmodified-since": "rubbish",
        "range": "bytes=0-3",
        "if-range": '"a"',
        "x-amz-checksum-mode": "enabled",
    }
    query = {"versionId": "null", "response-content-type": "text/html", "response-expires": ""}

    found = decode("GetObject", headers=headers, query=query)

    assert found.conditions == ReadConditions(("a", "b"), ("*",), 10, None)
    assert found.range == RangeSpec(0, 3, "bytes=0-3")
    assert found.if_range == '"a"'
    assert found.version_id == "null"
    assert found.wants_checksum
    assert found.overrides == (("content-type", "text/html"),)
    assert found == decode("HeadObject", headers=headers, query=query)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "snow ☃", "\x7f", "a\nb"])
def test_overrides_cannot_break_out_of_their_header(decode, value):
    """A presigned URL must not write headers of its own (s3 rule 4.3.3)."""
    with pytest.raises(InvalidArgument) as caught:
        decode("GetObject", query={"response-content-disposition": value})
    assert caught.value.detail["argument_name"] == "response-content-disposition"


@pytest.mark.parametrize("text", ["", "0", "10001", "-1", "x", "1.0", "٣", "1" * 5000])
def test_part_numbers_stay_in_bounds(decode, text):
    """Part numbers run from 1 to 10,000 for reads and writes alike (s3 rules 4.2.6, 4.11.3)."""
    for operation in ("GetObject", "UploadPart"):
        with pytest.raises(InvalidArgument) as caught:
            decode(operation, query={"partNumber": text, "uploadId": "u"})
        assert caught.value.detail == {"argument_name": "partNumber", "argument_value": text}


def test_part_number_and_range_exclude_each_other(decode):
    """Two ways to name a slice in one request have no common meaning (s3 rule 4.2.6)."""
    with pytest.raises(BadRequestError, match="Cannot specify both Range header"):
        decode("HeadObject", query={"partNumber": "1"}, headers={"range": "bytes=0-1"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Version id cannot be the empty string"),
        ("a b", "Invalid version id specified"),
        ("a/b", "Invalid version id specified"),
        ("é", "Invalid version id specified"),
        ("a" * 1025, "Invalid version id specified"),
    ],
)
@pytest.mark.parametrize(
    "operation", ["GetObject", "DeleteObject", "GetObjectTagging", "DeleteObjectTagging"]
)
def test_malformed_version_ids_are_arguments_and_not_missing_versions(
    decode, operation, text, message
):
    """Clients tell a bad request from a lost version by it (s3 rule 4.15.6)."""
    with pytest.raises(InvalidArgument) as caught:
        decode(operation, query={"versionId": text})
    assert caught.value.message == message
    assert caught.value.detail == {"argument_name": "versionId", "argument_value": text}


@pytest.mark.parametrize(
    "text", ["null", "UIORUnfndfiufdisojhr398493jfdkjFJjkndnqUifhnw89493jJFJ", "a"]
)
def test_well_formed_version_ids_pass(decode, text):
    """An id that this store never gave out is unknown, not malformed (s3 rule 4.15.6)."""
    assert decode("GetObject", query={"versionId": text}).version_id == text


def test_attributes_are_named_in_a_header(decode):
    """The list may have blanks and repeat itself (s3 rule 4.13.1)."""
    headers = {
        "x-amz-object-attributes": "ETag, ObjectParts,,ETag",
        "x-amz-max-parts": "5000",
        "x-amz-part-number-marker": "3",
    }
    found = decode("GetObjectAttributes", headers=headers)
    assert (found.attributes, found.max_parts, found.part_number_marker) == (
        ("ETag", "ObjectParts"),
        1000,
        3,
    )
    with pytest.raises(BadRequestError, match="either missing or empty"):
        decode("GetObjectAttributes", headers={"x-amz-object-attributes": " , "})
    with pytest.raises(InvalidArgument):
        decode("GetObjectAttributes", headers={"x-amz-object-attributes": "Color"})


# --- copies -----------------------------------------------------------------------------------------------------


def test_a_plain_copy_ignores_the_metadata_of_the_request(decode):
    """COPY takes everything from the source but class and redirect (s3 rules 4.9.3, 4.9.4)."""
    headers = {
        "x-amz-copy-source": "/source/a%20b?versionId=v1",
        "x-amz-meta-a": "1",
        "content-type": "text/plain",
        "x-amz-tagging": "broken=%zz",
        "x-amz-storage-class": "GLACIER",
        "x-amz-website-redirect-location": "/x",
        "x-amz-checksum-algorithm": "sha256",
        "x-amz-copy-source-if-none-match": '"e"',
    }

    found = decode("CopyObject", headers=headers)

    assert (found.source.bucket, found.source.key, found.source.version_id) == (
        "source",
        b"a b",
        "v1",
    )
    assert found.source.conditions.if_none_match == ("e",)
    destination = found.destination
    assert destination.new.user == ()
    assert destination.new.tags == ()
    assert destination.new.system == SystemMetadata(website_redirect_location="/x")
    assert (destination.replaces_metadata, destination.replaces_tags) == (False, False)
    assert (destination.has_storage_class, destination.has_redirect) == (True, True)
    assert destination.checksum_algorithm is ChecksumAlgorithm.SHA256


def test_a_replacing_copy_takes_all_from_the_request(decode):
    """REPLACE resets what the request does not name (s3 rule 4.9.3)."""
    headers = {
        "x-amz-copy-source": "source/key",
        "x-amz-metadata-directive": "REPLACE",
        "x-amz-tagging-directive": "REPLACE",
        "x-amz-meta-a": "1",
    }
    destination = decode("CopyObject", headers=headers).destination
    assert destination.new.user == (("a", "1"),)
    assert destination.new.tags == ()
    assert (destination.replaces_metadata, destination.replaces_tags) == (True, True)
    assert (destination.has_storage_class, destination.has_redirect) == (False, False)


@pytest.mark.parametrize("what", ["metadata", "tagging"])
def test_unknown_directives_are_refused(decode, what):
    """A misspelt REPLACE must not silently keep the old metadata (s3 rule 4.9.3)."""
    headers = {"x-amz-copy-source": "source/key", f"x-amz-{what}-directive": "replace"}
    with pytest.raises(InvalidArgument, match=f"Unknown {what} directive."):
        decode("CopyObject", headers=headers)


# --- deletes ----------------------------------------------------------------------------------------------------


def test_deletes_take_an_etag_or_a_star(decode):
    """A conditional delete must not fall back to an unconditional one (s3 rule 4.14.2)."""
    assert decode("DeleteObject", headers={"if-match": '"a"'}).conditions.if_match == "a"
    assert decode("DeleteObject", headers={"if-match": "*"}).conditions.if_match == "*"
    refused = [
        ({"if-match": "a"}, {"versionId": "v"}, "If-Match"),
        ({"if-none-match": "*"}, {}, "If-None-Match"),
        ({"x-amz-if-match-size": "1"}, {}, "x-amz-if-match-size"),
        (
            {"x-amz-if-match-size": "1", "x-amz-if-match-last-modified-time": "x"},
            {},
            "x-amz-if-match-last-modified-time",
        ),
    ]
    for headers, query, header in refused:
        with pytest.raises(NotImplementedByStore) as caught:
            decode("DeleteObject", headers=headers, query=query)
        assert caught.value.detail["header"] == header


def test_bypassing_a_retention_that_cannot_exist_is_an_argument_error(decode):
    """Even `false` is refused where no bucket has a lock (s3 rule 4.14.7)."""
    headers = {"x-amz-bypass-governance-retention": "false"}
    with pytest.raises(InvalidArgument) as caught:
        decode("DeleteObject", headers=headers)
    assert caught.value.detail["argument_name"] == "x-amz-bypass-governance-retention"


def test_bulk_deletes_may_carry_the_bypass_header(decode):
    """Clean-up tools send it blindly; where nothing is locked it changes nothing (s3 rule 4.14.7)."""
    headers = _DIGEST | {"x-amz-bypass-governance-retention": "true"}
    xml = "<Delete><Object><Key>k</Key></Object></Delete>"
    assert decode("DeleteObjects", headers=headers, xml=xml).entries == (DeleteEntry(b"k"),)


_DIGEST = {"x-amz-checksum-crc32": "AAAAAA=="}


def test_delete_objects_keeps_keys_as_they_are(decode):
    """Blanks and line ends are part of a key (s3 rules 4.14.3, 4.14.5)."""
    xml = (
        '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
        "<Object><Key> </Key></Object>"
        "<Object><Key>a&#xD;b &amp; c</Key><VersionId>v 1</VersionId></Object>"
        '<Object><Key>é</Key><ETag>"x"</ETag></Object></Delete>'
    )
    found = decode("DeleteObjects", xml=xml, headers=_DIGEST)
    assert found.is_quiet
    assert found.entries == (
        DeleteEntry(b" "),
        DeleteEntry(b"a\rb & c", "v 1"),
        DeleteEntry("é".encode(), None, "x"),
    )


def test_delete_objects_takes_one_to_a_thousand_keys(decode):
    """More would hold the store up, none is a mistake (s3 rule 4.14.3)."""
    line = "<Object><Key>k</Key></Object>"
    assert (
        len(decode("DeleteObjects", xml=f"<Delete>{line * 1000}</Delete>", headers=_DIGEST).entries)
        == 1000
    )
    for xml in (
        "<Delete/>",
        "<Remove><Object><Key>k</Key></Object></Remove>",
        f"<Delete>{line * 1001}</Delete>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key/></Object></Delete>",
    ):
        with pytest.raises(MalformedXml):
            decode("DeleteObjects", xml=xml, headers=_DIGEST)
    with pytest.raises(KeyTooLong):
        decode(
            "DeleteObjects",
            xml=f"<Delete><Object><Key>{'k' * 1025}</Key></Object></Delete>",
            headers=_DIGEST,
        )


def test_delete_objects_demands_a_digest_of_some_kind(decode):
    """A truncated list of keys is dangerous; MD5 alone must not be demanded (s3 rule 3.1.2)."""
    xml = "<Delete><Object><Key>k</Key></Object></Delete>"
    with pytest.raises(BadRequestError, match="Content-MD5 OR x-amz-checksum"):
        decode("DeleteObjects", xml=xml, headers={"x-amz-checksum-algorithm": "CRC32"})
    for headers in (_DIGEST, {"content-md5": "x"}, {"x-amz-trailer": "x-amz-checksum-crc32"}):
        assert decode("DeleteObjects", xml=xml, headers=headers)


@pytest.mark.parametrize("element", ["LastModifiedTime", "Size"])
def test_delete_objects_refuses_conditions_that_it_does_not_judge(decode, element):
    """The whole call is refused before anything is deleted (s3 rule 4.14.2)."""
    xml = f"<Delete><Object><Key>k</Key><{element}>1</{element}></Object></Delete>"
    with pytest.raises(NotImplementedByStore):
        decode("DeleteObjects", xml=xml, headers=_DIGEST)

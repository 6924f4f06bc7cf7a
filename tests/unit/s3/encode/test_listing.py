"""Pages of listings, as boto clients read them."""

from datetime import UTC, datetime

import pytest

from objstore.model.checksum import ChecksumAlgorithm, ChecksumType
from objstore.model.objects import Upload
from objstore.s3.inputs import (
    ListMultipartUploadsInput,
    ListObjectsInput,
    ListObjectVersionsInput,
    ListQuery,
)
from objstore.s3.outputs import (
    ListMultipartUploadsOutput,
    ListObjectsOutput,
    ListObjectVersionsOutput,
)
from objstore.s3.tokens import decode_token, object_listing

MODIFIED = 1_767_323_045_678
SHOWN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OWNER = "0" * 64


def row(key, *, storage_class="STANDARD", algorithm="crc32", kind="FULL_OBJECT"):
    return (key, MODIFIED, "abc-2", 7, storage_class, algorithm, kind, OWNER)


def version_row(key, version_id, *, latest=False, gone=False):
    return (*row(key), version_id, latest, gone)


def page(rows, *, prefixes=(), next_after=None, **asked):
    asked = {"query": ListQuery(), "is_v2": True, "fetch_owner": False} | asked
    return ListObjectsOutput(ListObjectsInput("bucket", **asked), rows, prefixes, next_after)


def test_a_page_of_objects_reads_back(seen_by_client):
    """Every field of an entry reaches the client (s3 rules 5.1.13, 5.3.4)."""
    query = ListQuery(prefix=b"p/", delimiter=b"/", max_keys=3)
    rows = [row(b"p/a"), row(b"p/b", storage_class="GLACIER", algorithm=None, kind=None)]
    output = page(rows, prefixes=[b"p/c/"], query=query, start_after=b"p/0", next_after=b"p/c/")

    seen = seen_by_client("ListObjectsV2", output)

    token = seen.pop("NextContinuationToken")
    context = object_listing("bucket", prefix=b"p/", delimiter=b"/")
    assert decode_token(token, context=context) == b"p/c/"
    entry = {"LastModified": SHOWN, "ETag": '"abc-2"', "Size": 7}
    checksum = {"ChecksumAlgorithm": ["CRC32"], "ChecksumType": "FULL_OBJECT"}
    assert seen == {
        "Name": "bucket",
        "Prefix": "p/",
        "StartAfter": "p/0",
        "KeyCount": 3,
        "MaxKeys": 3,
        "Delimiter": "/",
        "IsTruncated": True,
        "Contents": [
            entry | checksum | {"Key": "p/a", "StorageClass": "STANDARD"},
            entry | {"Key": "p/b", "StorageClass": "GLACIER"},
        ],
        "CommonPrefixes": [{"Prefix": "p/c/"}],
    }


def test_an_empty_page_still_has_its_fields(encode):
    """Old SDKs fail on a missing Prefix, Marker or IsTruncated (s3 rules 5.1.16, 5.2.2)."""
    body = encode("ListObjects", page([], is_v2=False)).body
    for element in (
        b"<Prefix></Prefix>",
        b"<Marker></Marker>",
        b"<MaxKeys>1000</MaxKeys>",
        b"<IsTruncated>false</IsTruncated>",
    ):
        assert element in body
    assert b"Delimiter" not in body
    assert body.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
    )


def test_owner_shows_when_asked_for(seen_by_client):
    """V1 always shows it, V2 with fetch-owner (s3 rules 5.2.3, 5.3.5)."""
    with_owner = seen_by_client("ListObjects", page([row(b"a")], is_v2=False, fetch_owner=True))
    assert with_owner["Contents"][0]["Owner"] == {"ID": OWNER}
    assert "Owner" not in seen_by_client("ListObjectsV2", page([row(b"a")]))["Contents"][0]


@pytest.mark.parametrize(
    ("delimiter", "next_after", "shown"),
    [(b"/", b"a/", "a/"), (b"", b"a", None), (b"/", None, None)],
)
def test_next_marker_needs_a_delimiter_and_more_to_come(
    seen_by_client, delimiter, next_after, shown
):
    """Without a delimiter clients go on from the last key (s3 rule 5.2.2)."""
    query = ListQuery(delimiter=delimiter)
    seen = seen_by_client("ListObjects", page([], is_v2=False, query=query, next_after=next_after))
    assert seen.get("NextMarker") == shown
    assert seen["IsTruncated"] is (next_after is not None)


def test_the_token_is_echoed_and_start_after_with_it(seen_by_client):
    """Both kinds of client are served that way (s3 rule 5.3.3)."""
    seen = seen_by_client(
        "ListObjectsV2", page([], continuation_token="t<>", start_after=b"s", after=b"x")
    )
    assert (seen["ContinuationToken"], seen["StartAfter"]) == ("t<>", "s")
    assert "NextContinuationToken" not in seen


NASTY = "a b+c/é☃~%?\r\n\x01&<\"'>*._-".encode()


def test_every_name_is_url_encoded_on_request(encode, seen_by_client):
    """Only so can any key be listed; blanks as %20 read right in every decoder (s3 rules 5.1.10, 5.1.11)."""
    query = ListQuery(prefix=b" ", delimiter=b"~", encodes_url=True)
    output = page(
        [row(NASTY)], is_v2=False, prefixes=[b"+"], query=query, marker=b"&", next_after=b"%"
    )
    body = encode("ListObjects", output).body.decode()
    key = "a%20b%2Bc/%C3%A9%E2%98%83%7E%25%3F%0D%0A%01%26%3C%22%27%3E*._-"
    for element in (
        f"<Key>{key}</Key>",
        "<Prefix>%20</Prefix>",
        "<Delimiter>%7E</Delimiter>",
        "<Marker>%26</Marker>",
        "<NextMarker>%25</NextMarker>",
        "<CommonPrefixes><Prefix>%2B</Prefix></CommonPrefixes>",
        "<EncodingType>url</EncodingType>",
    ):
        assert element in body
    assert seen_by_client("ListObjects", output)["Contents"][0]["Key"] == key


def test_names_that_need_it_are_escaped(seen_by_client):
    """One such key must neither break the page nor change (s3 rules 1.2.10, 1.2.11)."""
    keys = ["plain", 'a&b<c>"d"', "line\r\nend", "é☃𝄞", " blank "]
    output = page([row(key.encode()) for key in keys], prefixes=[b"<&>"])
    seen = seen_by_client("ListObjectsV2", output)
    assert [entry["Key"] for entry in seen["Contents"]] == keys
    assert seen["CommonPrefixes"] == [{"Prefix": "<&>"}]


def test_versions_and_delete_markers_keep_their_order(encode, seen_by_client):
    """Java and Go callers rely on the order of the document (s3 rules 5.4.1, 5.4.2, 5.4.4)."""
    asked = ListObjectVersionsInput("bucket", ListQuery(), b"a", "v0")
    rows = [
        version_row(b"k", "v3", latest=True, gone=True),
        version_row(b"k", "v2"),
        version_row(b"l", "null", latest=True),
    ]
    output = ListObjectVersionsOutput(asked, rows, [b"m/"], (b"m/", None))

    body = encode("ListObjectVersions", output).body
    assert body.index(b"<DeleteMarker>") < body.index(b"v2") < body.index(b"null")
    assert b"NextVersionIdMarker" not in body
    seen = seen_by_client("ListObjectVersions", output)
    assert (seen["KeyMarker"], seen["VersionIdMarker"]) == ("a", "v0")
    assert (seen["NextKeyMarker"], seen["IsTruncated"]) == ("m/", True)
    common = {"LastModified": SHOWN, "Owner": {"ID": OWNER}}
    assert seen["DeleteMarkers"] == [common | {"Key": "k", "VersionId": "v3", "IsLatest": True}]
    assert seen["Versions"][0] == common | {
        "Key": "k",
        "VersionId": "v2",
        "IsLatest": False,
        "ETag": '"abc-2"',
        "Size": 7,
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": ["CRC32"],
        "ChecksumType": "FULL_OBJECT",
    }


def test_a_last_page_of_versions_echoes_empty_markers(encode):
    """The elements are there even when absent from the request (s3 rule 5.4.4)."""
    asked = ListObjectVersionsInput("bucket", ListQuery())
    body = encode("ListObjectVersions", ListObjectVersionsOutput(asked, [], [], None)).body
    assert b"<KeyMarker></KeyMarker><VersionIdMarker></VersionIdMarker>" in body
    assert b"NextKeyMarker" not in body


def _upload(**fields):
    return Upload("u1", b"k&", MODIFIED, owner=OWNER, initiator="1" * 64, **fields)


def test_a_page_of_uploads_reads_back(encode, seen_by_client):
    """Both next markers stand there in any case (s3 rules 5.5.1, 5.5.2)."""
    asked = ListMultipartUploadsInput("bucket", ListQuery(max_keys=5), b"a", "u0")
    upload = _upload(
        storage_class="STANDARD_IA",
        checksum_algorithm=ChecksumAlgorithm.SHA256,
        checksum_type=ChecksumType.COMPOSITE,
    )
    output = ListMultipartUploadsOutput(asked, [upload, _upload()], [], False, (b"k&", "u1"))

    seen = seen_by_client("ListMultipartUploads", output)

    assert (seen["Bucket"], seen["MaxUploads"], seen["IsTruncated"]) == ("bucket", 5, False)
    assert (seen["KeyMarker"], seen["UploadIdMarker"]) == ("a", "u0")
    assert (seen["NextKeyMarker"], seen["NextUploadIdMarker"]) == ("k&", "u1")
    assert seen["Uploads"][0] == {
        "UploadId": "u1",
        "Key": "k&",
        "Initiator": {"ID": "1" * 64},
        "Owner": {"ID": OWNER},
        "StorageClass": "STANDARD_IA",
        "Initiated": SHOWN,
        "ChecksumAlgorithm": "SHA256",
        "ChecksumType": "COMPOSITE",
    }
    assert "ChecksumAlgorithm" not in seen["Uploads"][1]
    empty = encode("ListMultipartUploads", ListMultipartUploadsOutput(asked, [], [], False, None))
    assert b"<NextKeyMarker></NextKeyMarker><NextUploadIdMarker></NextUploadIdMarker>" in empty.body

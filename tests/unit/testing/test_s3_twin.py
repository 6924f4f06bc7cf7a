"""The twin against the tables of the rules, so that it does not merely repeat what the server does."""

from __future__ import annotations

import hashlib

import pytest

from objstore.testing.s3_twin import S3Twin, answer, md5

ONE, TWO = md5(b"one"), md5(b"two")


def brief(given):
    """Return status and code."""
    return given["status"], given["code"]


@pytest.mark.parametrize(
    ("state", "none_match", "match_same"),
    [
        ("absent", (200, ""), (404, "NoSuchKey")),
        ("marker", (200, ""), (404, "NoSuchKey")),
        ("equal", (412, "PreconditionFailed"), (200, "")),
        ("differs", (412, "PreconditionFailed"), (412, "PreconditionFailed")),
    ],
)
def test_conditional_writes_follow_the_table(state, none_match, match_same):
    """The whole table of s3 rule 4.5.3: it decides about lost updates."""
    for condition, expected in (
        (("If-None-Match", "*"), none_match),
        (("If-Match", ONE), match_same),
    ):
        twin = S3Twin()
        twin.set_versioning("Enabled")
        if state != "absent":
            twin.put("k", b"two" if state == "differs" else b"one")
        if state == "marker":
            twin.delete("k")
        assert brief(twin.put("k", b"new", condition=condition)) == expected


def test_suspended_writes_replace_the_null_version_only():
    """s3 rule 4.15.3: the versions from before must survive, there is one null version at most."""
    twin = S3Twin()
    twin.put("k", b"0")
    twin.set_versioning("Enabled")
    assert twin.put("k", b"1")["version"] == "v1"
    twin.set_versioning("Suspended")
    assert twin.put("k", b"2")["version"] is None
    assert [(v.label, v.data) for v in twin.versions["k"]] == [("null", b"2"), ("v1", b"1")]
    assert twin.delete("k") == answer(204, version="null", marker=True)
    assert [v.label for v in twin.versions["k"]] == ["null", "v1"]
    assert twin.get("k") == answer(404, "NoSuchKey", version="null", marker=True)
    assert twin.delete("k", "null") == answer(204, version="null", marker=True)
    assert twin.get("k")["body"] == b"1"


@pytest.mark.parametrize(
    ("span", "status", "shown"),
    [
        ((0, 8), 206, "bytes 0-8/10"),
        ((0, 100), 206, "bytes 0-9/10"),
        ((3, None), 206, "bytes 3-9/10"),
        ((None, 4), 206, "bytes 6-9/10"),
        ((None, 100), 206, "bytes 0-9/10"),
        ((None, 0), 416, None),
        ((10, None), 416, None),
    ],
)
def test_ranges_follow_the_table(span, status, shown):
    """s3 rule 4.2.1."""
    twin = S3Twin()
    twin.put("k", b"0123456789")
    got = twin.get("k", span=span)
    assert (got["status"], got.get("span")) == (status, shown)


def test_a_changed_key_refuses_a_conditional_complete():
    """s3 rule 4.5.6: an update between Create and Complete must not be overwritten unseen; without condition it may."""
    twin = S3Twin()
    twin.put("k", b"one")
    for condition, expected in ((("If-Match", ONE), 409), (None, 200)):
        upload = twin.create_upload("k")["upload"]
        twin.upload_part(upload, "k", 1, b"part")
        twin.put("k", b"one")
        assert twin.complete(upload, "k", ((1, md5(b"part")),), condition=condition)["status"] == (
            expected
        )


def test_multipart_etag_and_repeated_complete():
    """s3 rules 3.6.1 and 4.11.8: clients compare the ETag, and repeat a Complete whose answer was lost."""
    twin = S3Twin()
    upload = twin.create_upload("k")["upload"]
    twin.upload_part(upload, "k", 3, b"part")
    listed = ((3, md5(b"part")),)
    first = twin.complete(upload, "k", listed)
    assert first["etag"] == hashlib.md5(hashlib.md5(b"part").digest()).hexdigest() + "-1"
    assert twin.complete(upload, "k", listed) == first
    assert brief(twin.abort(upload, "k")) == (404, "NoSuchUpload")


def test_a_list_of_parts_out_of_order_is_refused_before_anything_is_looked_up():
    """s3 rule 4.11.4: the list is wrong whatever is stored, so neither a missing upload nor a condition comes first."""
    twin = S3Twin()
    listed = ((2, ONE), (1, TWO))
    refused = twin.complete("u0", "k", listed, condition=("If-Match", ONE))
    assert brief(refused) == (400, "InvalidPartOrder")


def test_pages_group_and_go_on_after_prefixes():
    """s3 rules 5.1.2, 5.1.3, 5.1.9 and 5.2.1."""
    twin = S3Twin()
    for key in ("d/", "d/1", "d/e/2", "e", "\uffff", "\U00010000"):
        twin.put(key, b"")
    top = twin.listing("v1", delimiter="/", page_size=2)["pages"]
    assert [(page["prefixes"], [row[0] for row in page["rows"]]) for page in top] == [
        (["d/"], ["e"]),
        ([], ["\uffff", "\U00010000"]),
    ]
    below = twin.listing("v2", prefix="d/", delimiter="/")["pages"]
    assert [(page["prefixes"], [row[0] for row in page["rows"]]) for page in below] == [
        (["d/e/"], ["d/", "d/1"])
    ]
    assert twin.listing("v1", delimiter="/", after=("d/e/1", None))["pages"][0]["prefixes"] == []

"""The player against a real server: what it calls things, and what it refuses to pass on."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET

import pytest

from objstore.testing.raw_client import RawClient
from objstore.testing.s3_player import S3Player, _check_echo, in_xml


@pytest.fixture
def player(s3_server):
    """A player in a bucket of its own."""
    with RawClient.of(s3_server) as client:
        yield S3Player(client, f"b-{uuid.uuid4().hex[:16]}")


def test_ids_are_named_in_the_order_in_which_they_show(player):
    """Only so can the answers of two servers be compared word for word."""
    player.set_versioning("Enabled")
    names = [player.put("k", body)["version"] for body in (b"1", b"2")]
    assert names == ["v1", "v2"]
    assert player.delete("k")["version"] == "v3"
    assert player.create_upload("k")["upload"] == "u1"
    assert player.get("k", "v1")["body"] == b"1"
    assert player.get("k", "v0")["code"] == "NoSuchVersion"


def test_keys_that_xml_cannot_carry_come_back_from_both_kinds_of_listing(player):
    """s3 rule 1.2.10: such a key must be listed, and must be itself again at the client."""
    for key in ("\x1f", "\uffff", "&#31;"):
        player.put(key, b"")
    for encodes in (True, False):
        rows = player.listing("v2", encodes=encodes)["pages"][0]["rows"]
        assert [row[0] for row in rows] == ["\x1f", "&#31;", "\uffff"]
    assert [in_xml(key) for key in ("\x1f", "\uffff", "&#31;")] == [False, False, True]


def test_a_page_that_answers_another_request_is_refused():
    """s3 rules 5.1.6 and 5.1.16: clients page by what is echoed."""
    page = "<P><Prefix>{}</Prefix><MaxKeys>2</MaxKeys><IsTruncated>false</IsTruncated></P>"
    _check_echo(ET.fromstring(page.format("a")), (("prefix", "a"),), 2)
    for text, size in (("b", 2), ("a", 3)):
        with pytest.raises(AssertionError, match="differ"):
            _check_echo(ET.fromstring(page.format(text)), (("prefix", "a"),), size)

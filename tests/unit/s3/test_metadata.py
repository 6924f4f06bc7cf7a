"""Metadata of objects."""

import pytest

from objstore.model.errors import InvalidArgument, InvalidRedirectLocation, MetadataTooLarge
from objstore.s3.metadata import decode_words, encode_words, system_metadata, user_metadata


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip", "gzip"),
        ("aws-chunked,gzip,AWS-Chunked,br", "gzip,br"),
        ("aws-chunked", None),
        ("gzip,  br", "gzip,  br"),
        ("", None),
    ],
)
def test_the_coding_of_the_transfer_is_not_the_object_s(sent, kept):
    """A stored `aws-chunked` makes every later reader fail (s3 rule 2.4.9)."""
    assert system_metadata({"content-encoding": sent}).content_encoding == kept


@pytest.mark.parametrize("value", ["/a", "http://a", "https://a", "/" + "a" * 2047])
def test_redirects_are_paths_or_urls(value):
    """At most 2 KiB (s3 rule 4.4.4)."""
    found = system_metadata({"x-amz-website-redirect-location": value})
    assert found.website_redirect_location == value


@pytest.mark.parametrize("value", ["a", "ftp://a", "/" + "a" * 2048])
def test_other_redirects_are_refused(value):
    """They would redirect nowhere (s3 rule 4.4.4)."""
    with pytest.raises(InvalidRedirectLocation):
        system_metadata({"x-amz-website-redirect-location": value})


@pytest.mark.parametrize("name", ["content-type", "expires", "x-amz-website-redirect-location"])
def test_no_header_can_smuggle_another(name):
    """Forms and presigned URLs can carry line ends, which an answer must not (s3 rule 4.3.3)."""
    with pytest.raises(InvalidArgument):
        system_metadata({name: "/a\r\nSet-Cookie: b"})


def test_user_metadata_keeps_order_and_empty_values():
    """Names come in lower case already (s3 rules 4.6.1, 4.6.7)."""
    headers = {"x-amz-meta-b": "1", "content-type": "x", "x-amz-meta-a": ""}
    assert user_metadata(headers) == (("b", "1"), ("a", ""))


def test_user_metadata_is_limited_in_bytes():
    """Names count without their prefix, text in UTF-8 (s3 rule 4.6.2)."""
    assert user_metadata({"x-amz-meta-ab": "é" * 1023})
    with pytest.raises(MetadataTooLarge) as caught:
        user_metadata({"x-amz-meta-abc": "é" * 1023})
    assert caught.value.detail == {"size": 2049, "max_size_allowed": 2048}


@pytest.mark.parametrize("name", ["x-amz-meta-", "x-amz-meta-a b", "x-amz-meta-é", "x-amz-meta-a:"])
def test_names_that_could_not_be_sent_back_are_refused(name):
    """A header name is a token (s3 rules 4.6.1, 4.6.7)."""
    with pytest.raises(InvalidArgument):
        user_metadata({name: "1"})


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("=?UTF-8?B?YWJj?=", "abc"),
        ("=?utf-8?q?r=C3=A9d_=3D?=", "réd ="),
        ("=?ISO-8859-1?Q?r=E9d?=", "réd"),
        ("=?UTF-8?B?YWI=?= =?UTF-8?B?Yw==?=", "abc"),
        ("a =?UTF-8?B?Yg==?= c", "a b c"),
        ("plain", "plain"),
        ("=?UTF-8?B?YWJj", "=?UTF-8?B?YWJj"),
        ("=?UTF-8?B?!?=", "=?UTF-8?B?!?="),
        ("=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="),
        ("=?KOI8-R?B?YWJj?=", "=?KOI8-R?B?YWJj?="),
    ],
)
def test_encoded_words_are_decoded_on_the_way_in(sent, kept):
    """What cannot be decoded stays as it is (s3 rule 4.6.4); form fields are never decoded."""
    assert decode_words(sent) == kept
    assert user_metadata({"x-amz-meta-a": sent}) == (("a", kept),)
    assert user_metadata({"x-amz-meta-a": sent}, decodes_words=False) == (("a", sent),)


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("plain ASCII ~", "plain ASCII ~"),
        ("", ""),
        ("é _=?a", "=?UTF-8?Q?=C3=A9_=5F=3D=3Fa?="),
        ("é\n", "=?UTF-8?B?w6kK?="),
        ("a\tb", "=?UTF-8?B?YQli?="),
    ],
)
def test_other_than_ascii_leaves_as_an_encoded_word(kept, shown):
    """Q where all can be printed, B with control characters (s3 rule 4.6.3)."""
    assert encode_words(kept) == shown
    assert decode_words(shown) == kept

"""Tag sets."""

import pytest

from objstore.model.errors import InvalidArgument, InvalidTag, MalformedXml, TooManyTags
from objstore.s3.tagging import bucket_tags, object_tags, parse_tagging_header
from objstore.s3.xml import decode


def document(*tags, inner=None):
    text = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    inner = inner if inner is not None else f"<TagSet>{text}</TagSet>"
    return decode(f"<Tagging>{inner}</Tagging>".encode(), bytes_max=1 << 20)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", ()),
        ("a=1&b=2", (("a", "1"), ("b", "2"))),
        ("a", (("a", ""),)),
        ("a=&b", (("a", ""), ("b", ""))),
        ("a%20b=c+d", (("a b", "c d"),)),
        ("k=a=b", (("k", "a=b"),)),
        ("%C3%A9=%2B", (("é", "+"),)),
        ("a=1&A=2", (("A", "2"), ("a", "1"))),
        ("foo=bar&bar", (("bar", ""), ("foo", "bar"))),
        ("a=1&", (("a", "1"),)),
    ],
)
def test_the_header_is_a_query_string(text, tags):
    """Keys are case-sensitive; a key without a value has an empty one (s3 rule 4.8.2); sorted by key (4.8.5)."""
    assert parse_tagging_header(text) == tags


@pytest.mark.parametrize("text", ["a=1&a=2", "a=%zz", "a=%FF", "a=%"])
def test_a_malformed_header_is_an_argument_error(text):
    """With the long text that S3 gives (s3 rule 4.8.2)."""
    with pytest.raises(InvalidArgument) as caught:
        parse_tagging_header(text)
    assert caught.value.message.startswith("The header 'x-amz-tagging' shall be encoded as UTF-8")
    assert caught.value.detail == {"argument_name": "x-amz-tagging", "argument_value": text}


def test_keys_are_unique():
    """S3 does not pick one of two (s3 rule 4.8.3)."""
    with pytest.raises(InvalidTag) as caught:
        object_tags(document(("a", "1"), ("a", "2")))
    assert caught.value.message == "Cannot provide multiple Tags with the same key"
    assert caught.value.detail == {"tag_key": "a"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k" * 128, "v" * 256),
        ("é" * 128, "漢" * 256),
        ("\U0001d400" * 64, ""),
        ("+ - = . _ : / @", "\u00a0"),
    ],
)
def test_letters_digits_blanks_and_some_marks_are_allowed(key, value):
    """Lengths count UTF-16 code units (s3 rule 4.8.1)."""
    assert object_tags(document((key, value))) == ((key, value),)


@pytest.mark.parametrize("key", ["", "k" * 129, "\U0001d400" * 65, "a!", "a&#10;b", "a\U0001f600"])
def test_bad_keys(key):
    """The error names the key (s3 rule 4.8.3)."""
    with pytest.raises(InvalidTag, match="The TagKey you have provided is invalid") as caught:
        object_tags(document((key, "v")))
    assert set(caught.value.detail) == {"tag_key"}


@pytest.mark.parametrize("value", ["v" * 257, "a;b"])
def test_bad_values(value):
    """The error names key and value (s3 rule 4.8.3)."""
    with pytest.raises(InvalidTag, match="The TagValue you have provided is invalid") as caught:
        object_tags(document(("k", value)))
    assert caught.value.detail == {"tag_key": "k", "tag_value": value}


def test_system_tags_cannot_be_set():
    """Objects and buckets say it differently (s3 rule 4.8.3)."""
    with pytest.raises(InvalidTag, match="Your TagKey cannot be prefixed with aws:"):
        object_tags(document(("aws:a", "")))
    with pytest.raises(InvalidTag, match="System tags cannot be added/updated by requester"):
        bucket_tags(document(("aws:a", "")))


def test_there_is_a_limit_to_tags():
    """Ten and fifty, by header and by document (s3 rules 4.8.1, 4.8.3)."""
    with pytest.raises(TooManyTags, match="Object tags cannot be greater than 10"):
        parse_tagging_header("&".join(f"k{i}" for i in range(11)))
    fifty = [(f"k{i}", "") for i in range(50)]
    assert len(bucket_tags(document(*fifty))) == 50
    with pytest.raises(TooManyTags, match="Bucket tag count cannot be greater than 50"):
        bucket_tags(document(*fifty, ("more", "")))


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<Tags/>",
        "<TagSet><Tag><Key>a</Key></Tag></TagSet>",
        "<TagSet><Tag><Value>a</Value></Tag></TagSet>",
        "<TagSet><Other/></TagSet>",
        "<TagSet/><TagSet/>",
    ],
)
def test_documents_of_another_shape_are_malformed(inner):
    """A missing element must not count as an empty one (s3 rule 4.8.3)."""
    with pytest.raises(MalformedXml):
        object_tags(document(inner=inner))

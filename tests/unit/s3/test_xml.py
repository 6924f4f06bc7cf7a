"""The XML reader under friendly and hostile documents, and the writer's escapes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from objstore.model.errors import MalformedXml, MaxMessageLengthExceeded, MissingRequestBody
from objstore.model.limits import XML_DEPTH_MAX
from objstore.s3 import xml
from objstore.s3.xml import Element, decode, document, escape_bytes, escape_text, tag

LIMIT = 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet></Delete>',
        (
            b'<a:Delete xmlns:a="http://s3.amazonaws.com/doc/2006-03-01/"><a:Quiet>true</a:Quiet>'
            b"</a:Delete>"
        ),
        b"<Delete><Quiet>true</Quiet></Delete>",
        (
            b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<Delete>\n  <Quiet>true</Quiet>'
            b"\n</Delete>\n"
        ),
        "<?xml version='1.0' encoding='utf-16'?><Delete><Quiet>true</Quiet></Delete>".encode(
            "utf-16"
        ),
        b"\xef\xbb\xbf<Delete><!-- a comment --><Quiet>true</Quiet></Delete>",
    ],
)
def test_clients_may_write_namespace_prefix_and_encoding_as_they_like(body: bytes) -> None:
    """SDKs differ in all of these and mean the same (s3 rule 1.6.4)."""
    assert decode(body, root="Delete", bytes_max=LIMIT) == Element(
        "Delete", "", (Element("Quiet", "true"),)
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("   ", "   "),
        (" a ", " a "),
        ("&#xD;&#xA;", "\r\n"),
        ("a&#13;b", "a\rb"),
        ("&lt;&amp;&gt;&quot;&apos;", "<&>\"'"),
        ("<![CDATA[<a>&b]]>", "<a>&b"),
        ("\u00e9\U0001f600", "\u00e9\U0001f600"),
        ("", ""),
    ],
)
def test_a_key_comes_out_as_it_was_written(text: str, key: str) -> None:
    """A key may be blank or end a line; stripping would delete another object (s3 rule 1.2.11)."""
    body = f"<Object>\n <Key>{text}</Key>\n</Object>".encode()
    assert decode(body, bytes_max=LIMIT).text_of("Key") == key


def test_a_long_text_arrives_whole() -> None:
    """Expat hands long texts over in pieces, which must be joined."""
    text = "x&amp;" * 100_000
    found = decode(f"<a>{text}</a>".encode(), bytes_max=LIMIT)
    assert found.text == "x&" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x"> %p;]><a/>',
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>',
        b"<!DOCTYPE a><a/>",
        b"<a>&undefined;</a>",
        b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>',
        b'<?xml version="1.0" encoding="shift_jis"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="no-such-thing"?><a/>',
        b'<?xml version="1.0" encoding="undefined"?><a/>',
        b'<a xmlns="urn:somebody-else"/>',
        b"<p:a/>",
        b"<a>\xff\xfe</a>",
        b"<a>&#0;</a>",
        b"<a><b></a></b>",
        b"<a/><b/>",
        b"<a/>trailing",
        b"<a>text<b/></a>",
        b"<a><b/>text</a>",
        b"<a",
        b" ",
        b"{}",
        b"\0",
    ],
)
def test_what_is_not_a_plain_document_is_refused(body: bytes) -> None:
    """No DTD, no entity, no foreign namespace, no odd encoding, no text beside elements."""
    with pytest.raises(MalformedXml):
        decode(body, bytes_max=LIMIT)


def test_the_root_must_be_the_one_expected() -> None:
    """Root names are fixed (s3 rule 1.6.4)."""
    with pytest.raises(MalformedXml):
        decode(b"<Delete/>", root="Tagging", bytes_max=LIMIT)


def test_no_bytes_are_a_missing_body() -> None:
    """A body that did not come has its own code (s3 rule 1.6.4)."""
    with pytest.raises(MissingRequestBody):
        decode(b"", bytes_max=LIMIT)


def test_more_bytes_than_allowed_are_not_parsed() -> None:
    """The limit is the caller's, and exact."""
    assert decode(b"<a/>", bytes_max=4).name == "a"
    with pytest.raises(MaxMessageLengthExceeded) as caught:
        decode(b"<a/>", bytes_max=3)
    assert caught.value.detail == {"max_message_length_bytes": 3}


def test_depth_is_bounded() -> None:
    """A document nested without end must not cost memory without end."""
    nested = b"<a>" * XML_DEPTH_MAX + b"</a>" * XML_DEPTH_MAX
    assert decode(nested, bytes_max=LIMIT).name == "a"
    with pytest.raises(MalformedXml):
        decode(b"<a>" + nested + b"</a>", bytes_max=LIMIT)


def test_the_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny elements are the cheapest way to make a parser allocate."""
    monkeypatch.setattr(xml, "ELEMENTS_MAX", 10)
    assert len(decode(b"<a>" + b"<b/>" * 9 + b"</a>", bytes_max=LIMIT).children) == 9
    with pytest.raises(MalformedXml):
        decode(b"<a>" + b"<b/>" * 10 + b"</a>", bytes_max=LIMIT)


@pytest.mark.parametrize(
    "inner",
    [
        b"<!--" + b"-" * 10 + b"a" * 200_000 + b"-->",
        b"<a " + b" ".join(b"a%d=''" % number for number in range(40_000)) + b"/>",
        b"<a " + b" ".join(b"xmlns:a%d='a'" % number for number in range(40_000)) + b"/>",
        b"<?a " + b"a" * 200_000 + b"?>",
        b"".join(b"<a%d/>" % number for number in range(1000)),
    ],
    ids=["comment", "attributes", "namespaces", "instruction", "names"],
)
def test_what_no_client_sends_cannot_take_the_parser_long(inner: bytes) -> None:
    """A tag is parsed in one step, half a second for four megabytes, in which nobody else is answered."""
    with pytest.raises(MalformedXml):
        decode(b"<Delete>" + inner + b"</Delete>", bytes_max=LIMIT)


def test_text_has_no_length_but_that_of_the_document() -> None:
    """Documents are parsed in pieces; a piece may end anywhere, in the middle of a character too."""
    text = "\u00e9\U0001f600&" * 50_000
    body = f"<Object>{' ' * 70_000}<Key>{escape_text(text)}</Key>\n</Object>".encode()
    for shift in range(3):
        assert decode(b" " * shift + body, bytes_max=LIMIT).text_of("Key") == text


def test_the_largest_complete_document_fits() -> None:
    """10,000 parts with all ten checksums are legal and must stay within the bounds."""
    part = "<Part>" + "<c/>" * 12 + "</Part>"
    body = f"<CompleteMultipartUpload>{part * 10_000}</CompleteMultipartUpload>".encode()
    assert len(decode(body, bytes_max=len(body)).children) == 10_000


def test_a_repeated_single_child_is_refused() -> None:
    """Two keys in one entry: whoever takes the first and whoever takes the last would disagree."""
    element = decode(b"<Object><Key>a</Key><Key>b</Key></Object>", bytes_max=LIMIT)
    with pytest.raises(MalformedXml):
        element.text_of("Key")
    assert [child.text for child in element.children_named("Key")] == ["a", "b"]


def test_children_are_found_by_name() -> None:
    """Absent and empty are different things."""
    element = decode(b"<a><b/><c>1</c></a>", bytes_max=LIMIT)
    assert (element.text_of("b"), element.text_of("c"), element.text_of("d")) == ("", "1", None)
    assert element.child("d") is None


def test_unknown_children_are_refused_on_demand() -> None:
    """Security documents must not carry settings that we would ignore (s3 rule 1.6.5)."""
    element = decode(b"<a><b/><c/></a>", bytes_max=LIMIT)
    element.only({"b", "c"})
    with pytest.raises(MalformedXml):
        element.only({"b"})


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain/key-1.txt", "plain/key-1.txt"),
        ('a&b<c>d"e', "a&amp;b&lt;c&gt;d&quot;e"),
        ("a\r\nb", "a&#13;&#10;b"),
        ("a\tb", "a\tb"),
        ("\x00\x01\x1f", "&#0;&#1;&#31;"),
        ("\ufffe\uffff", "&#65534;&#65535;"),
        ("\ud800", "\ufffd"),
        ("\u00e9\x7f", "\u00e9\x7f"),
    ],
)
def test_text_is_escaped_so_that_every_parser_gives_it_back(text: str, escaped: str) -> None:
    """Line ends would be folded and control characters refused (s3 rules 1.2.10 and 1.2.11)."""
    assert escape_text(text) == escaped


def test_a_key_that_is_not_utf8_does_not_break_a_listing() -> None:
    """One damaged name must not hide all the others."""
    assert escape_bytes(b"a\xff&") == "a\ufffd&amp;"


def test_a_document_has_declaration_and_namespace() -> None:
    """Success documents carry the S3 namespace (s3 rule 1.7.4)."""
    body = document("Tagging", tag("Key", "a&b") + tag("Count", 3) + tag("IsTruncated", False))
    assert body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Key>a&amp;b</Key>'
        b"<Count>3</Count><IsTruncated>false</IsTruncated></Tagging>"
    )


def test_an_empty_document_is_one_empty_element() -> None:
    """The location of us-east-1 is `<LocationConstraint xmlns="..."/>` (s3 rule 1.7.13)."""
    root = ET.fromstring(document("LocationConstraint", ""))
    assert root.tag == f"{{{xml.NAMESPACE}}}LocationConstraint"
    assert root.text is None

"""Clever readers of headers against dumb ones."""

from urllib.parse import unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.model.errors import InvalidArgument, InvalidRange, NotModified, PreconditionFailed
from objstore.s3.conditional import evaluate_read
from objstore.s3.encode.documents import encode_url
from objstore.s3.encode.rows import names
from objstore.s3.inputs import ReadConditions
from objstore.s3.metadata import decode_words, encode_words
from objstore.s3.ranges import apply, parse
from objstore.s3.tokens import decode_token, encode_token
from objstore.s3.xml import decode

MODEST = settings(max_examples=150, deadline=None)


# --- ranges -----------------------------------------------------------------------------------------------------

RANGE_TEXTS = st.one_of(
    st.from_regex(r"bytes=[0-9]{0,2}-[0-9]{0,2}", fullmatch=True),
    st.text("bytes=-,0123456789 ", max_size=12),
)


def bytes_of_dumb_range(text, size):
    """Return the indices that a range means, by looking at every byte; None where it counts for nothing."""
    unit, equals, wanted = text.strip().partition("=")
    first, dash, last = wanted.strip(" \t").partition("-")
    if unit.lower() != "bytes" or not equals or not dash or not (first or last):
        return None
    if any(digits and not digits.isdigit() for digits in (first, last)):
        return None
    if first and last and int(last) < int(first):
        return None
    if not first:
        return [index for index in range(size) if index >= size - int(last)]
    return [
        index for index in range(size) if index >= int(first) and (not last or index <= int(last))
    ]


@MODEST
@given(text=RANGE_TEXTS, size=st.integers(0, 60))
def test_ranges_agree_with_looking_at_every_byte(text, size):
    """An error of one byte here corrupts every resumed download (s3 rule 4.2.1)."""
    wanted = bytes_of_dumb_range(text, size)
    spec = parse(text)
    if wanted is None:
        assert spec is None
    elif not wanted:
        with pytest.raises(InvalidRange):
            apply(spec, size)
    else:
        start, length = apply(spec, size)
        assert list(range(start, start + length)) == wanted


# --- conditions -------------------------------------------------------------------------------------------------

ETAGS = st.none() | st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2).map(tuple)
SECONDS = st.none() | st.integers(0, 6)


def fails_412(conditions, etag, modified_s):
    """Steps 1 and 2 of RFC 9110 section 13.2.2, as they are written there."""
    if conditions.if_match is not None:
        return not ("*" in conditions.if_match or etag in conditions.if_match)
    if conditions.if_unmodified_since_s is not None:
        return not modified_s <= conditions.if_unmodified_since_s
    return False


def fails_304(conditions, etag, modified_s, now_s):
    """Steps 3 and 4; a date in the future is none (section 13.1.3)."""
    if conditions.if_none_match is not None:
        return "*" in conditions.if_none_match or etag in conditions.if_none_match
    since = conditions.if_modified_since_s
    if since is None or since > now_s:
        return False
    return not modified_s > since


def dumb_status(conditions, etag, modified_s, now_s):
    if fails_412(conditions, etag, modified_s):
        return 412
    return 304 if fails_304(conditions, etag, modified_s, now_s) else 200


@MODEST
@given(
    conditions=st.builds(ReadConditions, ETAGS, ETAGS, SECONDS, SECONDS),
    modified=st.integers(0, 5_999),
    now_s=st.integers(0, 6),
)
def test_conditions_agree_with_the_rfc(conditions, modified, now_s):
    """The order of four conditions is easy to get wrong (s3 rules 4.1.1, 4.1.2)."""
    status = 200
    try:
        evaluate_read(conditions, etag="a", last_modified=modified, now=now_s * 1000)
    except PreconditionFailed:
        status = 412
    except NotModified:
        status = 304
    assert status == dumb_status(conditions, "a", modified // 1000, now_s)


# --- text that must survive -------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KEYS = st.one_of(TEXTS.map(str.encode), st.text("ab/%+ ~&<\x00\r\n", max_size=8).map(str.encode))


@MODEST
@given(keys=st.lists(KEYS, max_size=6))
def test_a_page_of_names_encodes_as_each_alone_and_reads_back(keys):
    """All names of a page are encoded at once, by replacement (s3 rule 5.1.11)."""
    encoded = names(keys, encodes_url=True)
    assert encoded == [encode_url(key) for key in keys]
    assert [unquote_plus(text).encode() for text in encoded] == keys


XML_TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\r\n\t"),
    max_size=20,
)


@MODEST
@given(texts=st.lists(XML_TEXTS, max_size=5))
def test_a_page_of_names_reads_back_from_xml(texts):
    """One key that needs escaping must not change its neighbours (s3 rules 1.2.11, 5.1.14)."""
    inner = "".join(
        f"<K>{name}</K>" for name in names([t.encode() for t in texts], encodes_url=False)
    )
    document = decode(f"<R>{inner}</R>".encode(), bytes_max=1 << 20)
    assert [element.text for element in document.children] == texts


@MODEST
@given(value=TEXTS)
def test_metadata_leaves_as_ascii_and_reads_back(value):
    """A header can carry any text that was stored (s3 rule 4.6.3)."""
    shown = encode_words(value)
    assert all(" " <= character <= "~" for character in shown)
    if shown != value:
        assert decode_words(shown) == value


@MODEST
@given(position=st.binary(max_size=60), context=st.lists(st.binary(max_size=4), max_size=3))
def test_tokens_lead_back(position, context):
    """Whatever the key, and only in the same listing (s3 rule 5.3.2)."""
    token = encode_token(position, context=context)
    assert decode_token(token, context=context) == position
    with pytest.raises(InvalidArgument):
        decode_token(token, context=[*context, b""])

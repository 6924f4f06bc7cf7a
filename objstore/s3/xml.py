"""XML in and out: a small hardened reader of request documents, and the text tools of the encoders.

The reader (`decode`) is a thin layer on expat. It promises: no DTD, no entity but the five that XML
predefines, nothing external; bounded bytes, depth and number of elements; text exactly as sent,
never stripped, because a key may be a blank; and no exception but leaves of `ObjstoreError`,
whatever the bytes. Elements may be in the S3 namespace under any prefix, or in none (s3 rule
1.6.4). Attributes, comments and processing instructions are read over.

The writer does not build trees: encoders join strings. It promises that what they pass through
`escape_text` comes out as well-formed text that gives the same characters back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final
from xml.parsers import expat

import msgspec

from objstore.model.errors import MalformedXml, MaxMessageLengthExceeded, MissingRequestBody
from objstore.model.limits import XML_DEPTH_MAX

__all__ = [
    "ELEMENTS_MAX",
    "NAMESPACE",
    "Element",
    "decode",
    "document",
    "escape_bytes",
    "escape_text",
    "tag",
]

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
"""Namespace of every success document (s3 rule 1.7.4)."""

ELEMENTS_MAX: Final = 150_000
"""10,000 parts with a number, an ETag and every one of the ten checksums take 130,001 elements."""

_NAMESPACES_READ: Final = frozenset(
    {
        NAMESPACE,
        NAMESPACE.rstrip("/"),
        # The spelling of old documentation pages, which some clients copied.
        "http://doc.s3.amazonaws.com/2006-03-01/",
        "http://doc.s3.amazonaws.com/2006-03-01",
    }
)
_ENCODINGS_READ: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "utf-16"})
_SEPARATOR: Final = " "
_PIECE_BYTES: Final = 64 * 1024
_MARKUP_BYTES_MAX: Final = 64 * 1024
"""A tag has a name and at most two attributes."""
_NAMES_MAX: Final = 200
"""Different element names in one document; no document of S3 has a quarter of them."""
_TEXT_BUFFER_BYTES: Final = 64 * 1024


class Element(msgspec.Struct, frozen=True, gc=False):
    """An element: its local name, its text as sent, its children in order.

    `text` is empty where there are children: white space between elements means nothing, other text
    there is refused.
    """

    name: str
    text: str = ""
    children: tuple[Element, ...] = ()

    def child(self, name: str) -> Element | None:
        """Return the child of that name, None without one.

        Raises `MalformedXml` when there are several.
        """
        found = None
        for child in self.children:
            if child.name == name:
                if found is not None:
                    raise MalformedXml
                found = child
        return found

    def children_named(self, name: str) -> list[Element]:
        """Return all children of that name in order."""
        return [child for child in self.children if child.name == name]

    def text_of(self, name: str) -> str | None:
        """Return the text of a child, None without one.

        Raises `MalformedXml` when there are several.
        """
        found = self.child(name)
        return None if found is None else found.text

    def only(self, names: Collection[str]) -> None:
        """Raise `MalformedXml` if a child has another name than these (s3 rule 1.6.5)."""
        for child in self.children:
            if child.name not in names:
                raise MalformedXml


def decode(body: bytes, *, root: str | None = None, bytes_max: int) -> Element:
    """Parse a document.

    Raises `MissingRequestBody` for no bytes at all, `MaxMessageLengthExceeded` for more than
    `bytes_max` of them and `MalformedXml` for everything that is not a document of that root within
    the limits of this module.
    """
    if len(body) > bytes_max:
        raise MaxMessageLengthExceeded(max_message_length_bytes=bytes_max)
    if not body:
        raise MissingRequestBody
    builder = _Builder()
    try:
        _feed(_parser_for(builder), body)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # LookupError and ValueError: what pyexpat makes of encodings that it cannot offer to expat.
        raise MalformedXml from error
    top = builder.top
    if top is None or (root is not None and top.name != root):
        raise MalformedXml
    return top


def _feed(parser: expat.XMLParserType, body: bytes) -> None:
    """Parse in pieces, and give up on a tag or a comment that does not end: expat reads such a thing as one, without a pause."""
    for start in range(0, len(body), _PIECE_BYTES):
        parser.Parse(body[start : start + _PIECE_BYTES])
        if start - parser.CurrentByteIndex > _MARKUP_BYTES_MAX:
            raise MalformedXml
    parser.Parse(b"", True)


def _parser_for(builder: _Builder) -> expat.XMLParserType:
    """Return a parser that feeds the builder and refuses whatever could make a document larger than
    it is.
    """
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.buffer_size = _TEXT_BUFFER_BYTES
    parser.ordered_attributes = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.XmlDeclHandler = _judge_declaration
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    parser.SkippedEntityHandler = _refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.take_text
    return parser


def _refuse(*_: object) -> int:
    raise MalformedXml


def _judge_declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS_READ:
        raise MalformedXml


class _Builder:
    """Collects elements while the parser runs.

    `take_text` is `list.append` itself: no Python call for text.
    """

    __slots__ = ("_count", "_known_names", "_open", "_texts", "take_text", "top")

    def __init__(self) -> None:
        self.top: Element | None = None
        self._open: list[tuple[str, list[Element]]] = []
        self._texts: list[str] = []
        self._known_names: dict[str, str] = {}
        self._count = 0
        self.take_text: Callable[[str], None] = self._texts.append

    def start(self, name: str, _attributes: object) -> None:
        """Open an element."""
        texts = self._texts
        if texts:
            self._drop_blank()
        local = self._known_names.get(name)
        if local is None:
            local = self._known_names[name] = _local_name(name)
            if len(self._known_names) > _NAMES_MAX:
                raise MalformedXml
        self._open.append((local, []))
        self._count += 1
        if len(self._open) > XML_DEPTH_MAX or self._count > ELEMENTS_MAX:
            raise MalformedXml

    def end(self, _name: str) -> None:
        """Close the innermost element and hand it to the one around it."""
        name, children = self._open.pop()
        texts = self._texts
        if children:
            if texts:
                self._drop_blank()
            element = Element(name, "", tuple(children))
        elif texts:
            element = Element(name, texts[0] if len(texts) == 1 else "".join(texts))
            texts.clear()
        else:
            element = Element(name)
        if self._open:
            self._open[-1][1].append(element)
        else:
            self.top = element

    def _drop_blank(self) -> None:
        """Forget text beside elements; raises `MalformedXml` if it is more than white space."""
        for text in self._texts:
            if text.strip(" \t\r\n"):
                raise MalformedXml
        self._texts.clear()


def _local_name(name: str) -> str:
    """Take the namespace off a name that expat reports as `uri local`."""
    uri, separator, local = name.rpartition(_SEPARATOR)
    if separator and uri not in _NAMESPACES_READ:
        raise MalformedXml
    return local


# --- writing -----------------------------------------------------------------

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'

_SPECIAL: Final = re.compile('[\x00-\x08\n-\x1f&<>"\ud800-\udfff\ufffe\uffff]')
"""Everything that cannot stand in text as it is.

Raw line ends would be folded by parsers (s3 rule 1.2.11).
"""

_ILLEGAL_IN_XML: Final = [*range(9), *range(10, 32), 0xFFFE, 0xFFFF]

_REFERENCES: Final[dict[int, str]] = {
    **{code: f"&#{code};" for code in _ILLEGAL_IN_XML},  # s3 rule 1.2.10
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # halves of a pair have no UTF-8 form
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
}


def escape_text(text: str) -> str:
    """Return the text as it stands in XML.

    Characters that XML 1.0 forbids become numeric references.
    """
    if _SPECIAL.search(text) is None:
        return text
    return text.translate(_REFERENCES)


def escape_bytes(key: bytes) -> str:
    """Return a key, or another piece of UTF-8, as it stands in XML.

    Keys are valid UTF-8 by the time they are stored; should one not be, a listing still shows all
    the others.
    """
    return escape_text(key.decode("utf-8", "replace"))


def tag(name: str, value: str | int) -> str:
    """Return `<name>value</name>` with the value escaped.

    Booleans are `true` and `false` (s3 rule 1.7.9).
    """
    if isinstance(value, str):
        return f"<{name}>{escape_text(value)}</{name}>"
    if isinstance(value, bool):
        return f"<{name}>{'true' if value else 'false'}</{name}>"
    return f"<{name}>{value}</{name}>"


def document(root: str, inner: str) -> bytes:
    """Return a whole success document.

    Declaration, root in the S3 namespace, `inner` as it is (s3 rule 1.7.4).
    """
    if not inner:
        return f'{_DECLARATION}<{root} xmlns="{NAMESPACE}"/>'.encode()
    return f'{_DECLARATION}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()

"""What the store knows about one operation of S3, as a row of a table.

The rows stand in `operations_bucket`, `operations_object` and `operations`; `resolve` picks the row
of a request. A row says everything that is decided before a handler runs: how the request is
recognised, which permission it needs, how its body is read, how its answer starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from objstore.model.errors import check
from objstore.model.limits import BODY_XML_BYTES_MAX
from objstore.s3.reply import Reply
from objstore.s3.request import S3Request
from objstore.s3.xml import Element

__all__ = ["Access", "BodyKind", "Decoder", "Encoder", "Operation", "Scope", "row"]

Decoder: TypeAlias = Callable[[S3Request, Element | None], Any]
"""From a request and its document (None without one) to the typed input.

The row ties both together.
"""
Encoder: TypeAlias = Callable[[Any, S3Request], Reply]
"""From the typed output to the answer."""


class Scope(Enum):
    """What a request addresses."""

    SERVICE = "SERVICE"
    BUCKET = "BUCKET"
    OBJECT = "OBJECT"


class Access(Enum):
    """What kind of right an operation needs; the basis of `access.authorise`."""

    PUBLIC = "public"
    """Nobody has to sign: CORS preflight."""
    ACCOUNT = "account"
    """Any signed request: the operation concerns the caller's own account."""
    LIST = "list"
    """Names of what is in a bucket."""
    READ = "read"
    WRITE = "write"
    OWNER = "owner"
    """Configuration of a bucket, and ACLs."""


class BodyKind(Enum):
    """How the body of a request is read."""

    NONE = "none"
    XML = "xml"
    """Read whole, up to `Operation.body_bytes_max`, and decoded."""
    TEXT = "text"
    """Read whole like XML, but it is JSON or plain text."""
    STREAM = "stream"
    """Handed to the handler as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. Equality of rows is identity: there is one row for each name."""

    name: str
    method: str
    scope: Scope
    action: str
    """The permission, as policies name it."""
    access: Access
    flags: tuple[str, ...] = ()
    """Sub-resource names that must be in the query, with whatever value."""
    values: tuple[tuple[str, str], ...] = ()
    """Query parameters that must be there with exactly this value."""
    query: tuple[str, ...] = ()
    """Query parameters that must be there."""
    headers: tuple[str, ...] = ()
    """Headers (lower case) that must be there and tell this operation from its neighbours."""
    content_type: str = ""
    """What the content type must begin with; empty = does not matter."""
    parameters: tuple[str, ...] = ()
    """Query parameters that the operation understands beside the required ones."""
    body: BodyKind = BodyKind.NONE
    body_bytes_max: int = 0
    """Limit of a body that is read whole."""
    needs_checksum: bool = False
    """The body must come with Content-MD5 or a checksum (s3 rule 3.1.2)."""
    success_status: int = 200
    late_errors: bool = False
    """The answer may start before the outcome is known; an error then follows inside a 200."""
    is_signed_in_form: bool = False
    """The signature stands in the body, so that the head of a request is anonymous (s3 rule 2.6.3)."""
    superseded_by: str | None = None
    """Name of the operation that has the same request form and answers for this deprecated one."""
    handler: str | None = None
    """Method name on the service objects; None answers NotImplemented."""
    decode: Decoder | None = None
    encode: Encoder | None = None

    @property
    def discriminators_count(self) -> int:
        """How many things a request must show to be this operation."""
        named = len(self.flags) + len(self.values) + len(self.query) + len(self.headers)
        return named + bool(self.content_type)

    @property
    def key(self) -> tuple[object, ...]:
        """What recognises the operation; no two rows that answer may share it."""
        return (
            self.method,
            self.scope,
            frozenset(self.flags),
            frozenset(self.values),
            frozenset(self.query),
            frozenset(self.headers),
            self.content_type,
        )


_SCOPES: Final = {"/": Scope.SERVICE, "/B": Scope.BUCKET, "/B/K": Scope.OBJECT}
_BODIES_READ_WHOLE: Final = (BodyKind.XML, BodyKind.TEXT)


def row(  # noqa: PLR0913 - the columns of a table
    name: str,
    line: str,
    action: str,
    access: Access,
    *,
    parameters: str = "",
    headers: tuple[str, ...] = (),
    content_type: str = "",
    body: BodyKind = BodyKind.NONE,
    body_bytes_max: int = BODY_XML_BYTES_MAX,
    needs_checksum: bool = False,
    success_status: int = 200,
    late_errors: bool = False,
    is_signed_in_form: bool = False,
    superseded_by: str | None = None,
    handler: str | None = None,
) -> Operation:
    """Build a row from a request line in S3's own notation.

    `GET /B?analytics&{id}`: level (`/`, `/B` or `/B/K`), then sub-resources; `{name}` is a required
    parameter and `name=value` a required value.
    """
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    check(path in _SCOPES, f"{name}: {path} is no level")
    terms = query.split("&") if query else []
    return Operation(
        name=name,
        method=method,
        scope=_SCOPES[path],
        action=action,
        access=access,
        flags=tuple(term for term in terms if "=" not in term and term[0] != "{"),
        values=tuple((term.split("=")[0], term.split("=")[1]) for term in terms if "=" in term),
        query=tuple(term[1:-1] for term in terms if term[0] == "{"),
        headers=headers,
        content_type=content_type,
        parameters=tuple(parameters.split()),
        body=body,
        body_bytes_max=body_bytes_max if body in _BODIES_READ_WHOLE else 0,
        needs_checksum=needs_checksum,
        success_status=success_status,
        late_errors=late_errors,
        is_signed_in_form=is_signed_in_form,
        superseded_by=superseded_by,
        handler=handler,
    )

"""From a request to its row of the operations table (s3 rules 1.4.1 to 1.4.5).

The row with the most discriminators that the request shows wins. What matters more is what must
never happen: a request that names a sub-resource must not reach a row without one. `PUT /B/K?acl`
that overwrote the object, or `DELETE /B?lifecycle` that deleted the bucket, would destroy data. So:

- every sub-resource name of the service model is known, built or not; one that does not fit the
  method or the level is an error, and two in one request are an error;
- parameters that select an operation (`uploadId`) are an error where the row found does not take
  them;
- a write with a bare name that nobody knows (`PUT /B/K?foo`) is refused as a sub-resource that is
  not built. Reads ignore it, and so does everybody an unknown `name=value`: cache busters, SDK
  labels and parameters of the signature travel that way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from objstore.model.errors import (
    BadRequestError,
    InvalidArgument,
    MethodNotAllowed,
    NotImplementedByStore,
    ObjstoreError,
    PreconditionFailed,
)
from objstore.s3.operation import Operation
from objstore.s3.operations import OPERATIONS, OPERATIONS_BY_NAME, SUBRESOURCES
from objstore.s3.request import Headers, Query, S3Request

__all__ = ["FOREIGN_SUBRESOURCES", "allowed_methods", "resolve"]

FOREIGN_SUBRESOURCES: Final = frozenset(
    {
        "append",
        "compose",
        "events",
        "lambdaArn",
        "metadata",
        "position",
        "quota",
        "replication-check",
        "replication-metrics",
        "replication-reset",
        "replication-reset-status",
        "snapshot",
        "symlink",
        "usage",
    }
)
"""Names that other stores give a meaning to.

A write that carries one, even with a value, is no plain write.
"""

_COPY_SOURCE: Final = "x-amz-copy-source"
_RENAME_SOURCE: Final = "x-amz-rename-source"
_SOURCES: Final = (_COPY_SOURCE, _RENAME_SOURCE)
_POST_CONDITION: Final = "Bucket POST must be of the enclosure-type multipart/form-data"
_WRITE_RESPONSE: Final = "WriteGetObjectResponse"

_METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE")
_READS: Final = frozenset({"GET", "HEAD"})
_SERVICE: Final = "SERVICE"
_BUCKET: Final = "BUCKET"
_OBJECT: Final = "OBJECT"

_SELECTORS: Final = frozenset(
    {"list-type", "select-type", "uploadId", "partNumber", "annotationName"}
)
"""Parameters that choose between operations. `id` does too, but only beside a sub-resource."""

_VERSION: Final = "versionId"
_NEVER_TWICE: Final = SUBRESOURCES | _SELECTORS | {_VERSION}
_HARMLESS_PREFIXES: Final = ("x-amz-", "x-id", "response-")
_HARMLESS_NAMES: Final = frozenset(
    name
    for operation in OPERATIONS
    for name in (*operation.query, *operation.parameters, *dict(operation.values))
)

_RESOURCE_TYPES: Final[Mapping[str, str]] = {
    "policy": "BUCKETPOLICY",
    "uploads": "UPLOAD",
    "uploadId": "UPLOAD",
}
"""What `ResourceType` says where it is not the level; s3 rule 1.4.5."""

_Level: TypeAlias = str
_Slot: TypeAlias = tuple[str, _Level, str]
"""Method, level, sub-resource (empty = none)."""


def _by_slot() -> dict[_Slot, tuple[Operation, ...]]:
    """Group the rows that answer by what a request shows first, most discriminators in front."""
    slots: dict[_Slot, list[Operation]] = {}
    for operation in OPERATIONS:
        if operation.superseded_by is None:
            flag = operation.flags[0] if operation.flags else ""
            slots.setdefault((operation.method, operation.scope.value, flag), []).append(operation)
    return {
        slot: tuple(sorted(rows, key=lambda row: -row.discriminators_count))
        for slot, rows in slots.items()
    }


_ROWS: Final = _by_slot()
_PLAIN_ROWS: Final = {
    (method, level): tuple(row for row in rows if not row.query and not row.values)
    for (method, level, flag), rows in _ROWS.items()
    if not flag
}
"""Rows for requests without any query: the common case."""
_TAKEN: Final = {
    operation.name: frozenset((*operation.query, *operation.parameters, *dict(operation.values)))
    for operation in OPERATIONS
}
"""The query parameters that each row knows."""
_PREFLIGHT: Final = OPERATIONS_BY_NAME["PreflightRequest"]


def resolve(request: S3Request) -> Operation:
    """Return the operation that a request asks for, built or not.

    Raises `MethodNotAllowed`, `InvalidArgument`, `BadRequestError` or `PreconditionFailed` for
    wrong combinations (s3 rule 1.4.4) and `NotImplementedByStore` for writes to unknown
    sub-resources.
    """
    method = request.method
    if method == "OPTIONS" and request.bucket is not None:
        return _PREFLIGHT
    level = _level_of(request)
    query = request.query
    headers = request.headers
    flag = ""
    if not query.first:
        rows = _PLAIN_ROWS.get((method, level), ())
    else:
        flag = _subresource(method, query)
        headers = _with_hoisted_sources(headers, query)
        rows = _ROWS.get((method, level, flag), ())
    for operation in rows:
        if _fits(operation, query, headers):
            break
    else:
        raise _no_row(request, level, flag)
    if query.first:
        _refuse_leftovers(operation, query, level, flag)
    if _COPY_SOURCE in headers or _RENAME_SOURCE in headers:
        _refuse_sources(operation, headers)
    return operation


def allowed_methods(request: S3Request) -> tuple[str, ...]:
    """Return the methods that the addressed resource takes, for the `Allow` header."""
    level = _level_of(request)
    flags = [name for name in request.query.first if name in SUBRESOURCES]
    flag = flags[0] if flags else ""
    if not flag:
        return tuple(
            method
            for method in _METHODS
            if any(not row.headers for row in _PLAIN_ROWS.get((method, level), ()))
        )
    return tuple(method for method in _METHODS if (method, level, flag) in _ROWS)


def _level_of(request: S3Request) -> _Level:
    if request.key is not None:
        return _OBJECT
    if request.bucket is None:
        return _SERVICE
    # Upper-case letters: no bucket has this name.
    if request.bucket == _WRITE_RESPONSE and request.method == "POST":
        return _SERVICE
    return _BUCKET


def _fits(operation: Operation, query: Query, headers: Headers) -> bool:
    """Tell whether a request shows everything that the row asks for beside method, level and flag."""
    first = query.first
    for name in operation.query:
        if name not in first:
            return False
    for name, value in operation.values:
        if first.get(name) != value:
            return False
    for name in operation.headers:
        if name not in headers:
            return False
    wanted = operation.content_type
    return not wanted or headers.get("content-type", "").lower().startswith(wanted)


def _with_hoisted_sources(headers: Headers, query: Query) -> Headers:
    """Let a source in the query of a presigned URL count as the header that it stands for (s3 rule 2.3.8).

    Without it a presigned copy would be resolved as a plain PUT and store its empty body over the target.
    """
    for name, value in query.first.items():
        lower = name.lower()
        if lower in _SOURCES and lower not in headers:
            headers = {**headers, lower: value}
    return headers


def _subresource(method: str, query: Query) -> str:
    """Return the one sub-resource of a query, empty without one.

    Raises for two, and for unknown ones.
    """
    if len(query.pairs) != len(query.first):
        _refuse_repetition(query)
    is_read = method in _READS
    found = ""
    for name, value in query.first.items():
        if name in SUBRESOURCES:
            if found:
                raise _conflict(found, name)
            found = name
        elif not is_read and (name in FOREIGN_SUBRESOURCES or _is_bare(name, value)):
            raise NotImplementedByStore(
                f"The sub-resource {name} is not implemented by this server.", operation=name
            )
    return found


def _is_bare(name: str, value: str) -> bool:
    """Tell whether a parameter without value could be meant as a sub-resource that we do not know."""
    if value or name in _HARMLESS_NAMES:
        return False
    return not name.lower().startswith(_HARMLESS_PREFIXES)


def _refuse_repetition(query: Query) -> None:
    """Refuse a second value for anything that decides what the request is."""
    seen: set[str] = set()
    for name, value in query.pairs:
        if name in seen and name in _NEVER_TWICE:
            raise InvalidArgument(
                f"The query parameter {name} must not be repeated.",
                argument_name=name,
                argument_value=value,
            )
        seen.add(name)


def _refuse_leftovers(operation: Operation, query: Query, level: _Level, flag: str) -> None:
    """Refuse selecting parameters that the row found knows nothing of."""
    taken = _TAKEN[operation.name]
    for name in query.first:
        if name in taken:
            continue
        if name == _VERSION and operation.method not in _READS:
            # A plain write in its place would add a version where the caller named an old one.
            raise InvalidArgument(
                "This operation does not accept a version-id.",
                argument_name=name,
                argument_value=query.first[name],
            )
        if name not in _SELECTORS:
            continue
        if flag:
            raise _conflict(flag, name)
        takers = _takers_of(name, level)
        if takers or operation.method not in _READS:
            raise _misplaced(operation.method, name, query.first[name], takers)


def _takers_of(name: str, level: _Level) -> list[Operation]:
    """Return the rows of a level that a selecting parameter can lead to."""
    return [row for row in OPERATIONS if row.scope.value == level and name in _TAKEN[row.name]]


def _misplaced(method: str, name: str, value: str, takers: Iterable[Operation]) -> ObjstoreError:
    """Build the error for a selecting parameter at a request that it does not belong to."""
    argument = {"argument_name": name, "argument_value": value}
    rows = [row for row in takers if row.method == method]
    if not rows:
        methods = {row.method for row in takers}
        if not methods:
            return InvalidArgument(f"This operation does not accept {name}", **argument)
        return _not_allowed(
            method, _RESOURCE_TYPES.get(name, _OBJECT), [row for row in _METHODS if row in methods]
        )
    partners = [other for row in rows for other in (*row.flags, *row.query) if other != name]
    if not partners:
        return InvalidArgument(f"Invalid value for {name}", **argument)
    return InvalidArgument(
        f"This operation does not accept {name} without {partners[0]}", **argument
    )


def _refuse_sources(operation: Operation, headers: Headers) -> None:
    """Refuse the header that names a source where nothing is copied or renamed."""
    for name, verb in ((_COPY_SOURCE, "copy"), (_RENAME_SOURCE, "rename")):
        if name in headers and name not in operation.headers:
            raise InvalidArgument(
                f"You can only specify a {verb} source header for {verb} requests.",
                argument_name=name,
                argument_value=headers[name],
            )


def _conflict(one: str, other: str) -> InvalidArgument:
    return InvalidArgument(
        f"Conflicting query string parameters: {one}, {other}",
        argument_name="ResourceType",
        argument_value=one,
    )


def _not_allowed(method: str, resource_type: str, allowed: Iterable[str]) -> MethodNotAllowed:
    return MethodNotAllowed(
        method=method, resource_type=resource_type, header_allow=", ".join(allowed)
    )


def _no_row(request: S3Request, level: _Level, flag: str) -> ObjstoreError:
    """Build the error for a request that no row takes."""
    method = request.method
    if not flag and (method, level) == ("POST", _BUCKET):
        return PreconditionFailed(condition=_POST_CONDITION)
    if flag:
        rows = _ROWS.get((method, level, flag))
        if rows:
            return _incomplete(rows[-1])
        if level == _OBJECT and (method, _BUCKET, flag) in _ROWS:
            return BadRequestError(_key_not_expected(method, flag))
        if level == _BUCKET and (method, _OBJECT, flag) in _ROWS:
            return BadRequestError("A key must be specified")
    kind = flag or ("uploadId" if "uploadId" in request.query else "")
    resource_type = level if level == _SERVICE else _RESOURCE_TYPES.get(kind, level)
    return _not_allowed(method, resource_type, allowed_methods(request))


def _key_not_expected(method: str, flag: str) -> str:
    if flag == "versions":
        return "There is no such thing as the ?versions sub-resource for a key"
    return f"Key is not expected for the {method} method ?{flag} subresource"


def _incomplete(operation: Operation) -> ObjstoreError:
    """Build the error for a request that lacks what its sub-resource needs."""
    for name in (*operation.query, *dict(operation.values)):
        return InvalidArgument(
            f"Missing or invalid required parameter: {name}", argument_name=name, argument_value=""
        )
    return BadRequestError(
        f"Missing required header for this request: {', '.join(operation.headers)}"
    )

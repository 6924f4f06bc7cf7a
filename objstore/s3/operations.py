"""The operations table: one row for each operation of S3, and what follows from all rows together.

The service model has 116 operations; browser form upload and CORS preflight are not in it but on
the wire. Routing, permission check, metrics label, audit name, body limit and the compatibility
page of the documentation all come from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from objstore.model.errors import NotImplementedByStore, check
from objstore.s3.decode import DECODERS
from objstore.s3.encode import ENCODERS
from objstore.s3.operation import Access, BodyKind, Operation, row
from objstore.s3.operations_bucket import BUCKET_OPERATIONS
from objstore.s3.operations_object import OBJECT_OPERATIONS
from objstore.s3.unset import DELETES_OF_NOTHING, UNSET_SETTINGS

__all__ = [
    "OPERATIONS",
    "OPERATIONS_BY_NAME",
    "SUBRESOURCES",
    "check_table",
    "handler_of",
    "require_sound_table",
]

SERVICE_OPERATIONS: Final[tuple[Operation, ...]] = (
    row(
        "ListBuckets",
        "GET /",
        "s3:ListAllMyBuckets",
        Access.ACCOUNT,
        parameters="max-buckets continuation-token prefix bucket-region",
        handler="list_buckets",
    ),
    row(
        "ListDirectoryBuckets",
        "GET /?{max-directory-buckets}",
        "s3express:ListAllMyDirectoryBuckets",
        Access.ACCOUNT,
        parameters="continuation-token",
    ),
    # Its path is /WriteGetObjectResponse, which no bucket can be called.
    row(
        "WriteGetObjectResponse",
        "POST /",
        "s3-object-lambda:WriteGetObjectResponse",
        Access.ACCOUNT,
        headers=("x-amz-request-route", "x-amz-request-token"),
        body=BodyKind.STREAM,
    ),
)

OPERATIONS_BESIDE_THE_MODEL: Final[tuple[Operation, ...]] = (
    row(
        "PostObject",
        "POST /B",
        "s3:PutObject",
        Access.WRITE,
        content_type="multipart/form-data",
        body=BodyKind.STREAM,
        success_status=204,
        is_signed_in_form=True,
    ),
    # For `/B/K` as well; whatever the query says belongs to the request that will follow.
    row(
        "PreflightRequest",
        "OPTIONS /B",
        "s3:PreflightRequest",
        Access.PUBLIC,
        handler="preflight_request",
    ),
)


_HANDLERS_OF_UNSET: Final[Mapping[str, str]] = {
    **dict.fromkeys((row.get for row in UNSET_SETTINGS), "get_unset_setting"),
    **dict.fromkeys(DELETES_OF_NOTHING, "delete_unset_setting"),
}


def _wired(operation: Operation) -> Operation:
    """Put the decoder and the encoder into a row, and the handler of what the store does not keep."""
    name = operation.name
    of_unset = _HANDLERS_OF_UNSET.get(name)
    check(of_unset is None or operation.handler is None, f"{name}: built, and said to be unset")
    return dataclasses.replace(
        operation,
        handler=operation.handler or of_unset,
        decode=DECODERS.get(name),
        encode=ENCODERS.get(name),
    )


OPERATIONS: Final[tuple[Operation, ...]] = tuple(
    _wired(operation)
    for operation in (
        *SERVICE_OPERATIONS,
        *BUCKET_OPERATIONS,
        *OBJECT_OPERATIONS,
        *OPERATIONS_BESIDE_THE_MODEL,
    )
)
"""All rows, in the order of the service model."""

OPERATIONS_BY_NAME: Final[Mapping[str, Operation]] = {
    operation.name: operation for operation in OPERATIONS
}

SUBRESOURCES: Final[frozenset[str]] = frozenset(
    flag for operation in OPERATIONS for flag in operation.flags
)
"""Every sub-resource name of the model. None of them may ever reach a row without flags."""


def handler_of(operation: Operation) -> str:
    """Return the name of the method that serves the operation; raises `NotImplementedByStore`."""
    if operation.handler is None:
        raise NotImplementedByStore(
            f"The operation {operation.name} is not implemented by this server.",
            operation=operation.name,
        )
    return operation.handler


def check_table(operations: Sequence[Operation] = OPERATIONS) -> list[str]:
    """Return everything that is wrong with the table.

    A server must not start unless it is empty.
    """
    problems = _repeated(operations)
    by_name = {operation.name: operation for operation in operations}
    for operation in operations:
        problems += [f"{operation.name}: {text}" for text in _faults_of(operation)]
        problems += _faulty_succession(operation, by_name)
    return problems


def require_sound_table() -> None:
    """Raise `InvariantError` with all problems of the table, if there are any."""
    problems = check_table()
    check(not problems, "; ".join(problems))


def _repeated(operations: Sequence[Operation]) -> list[str]:
    """Find names that stand twice, and requests that two rows would answer."""
    problems = []
    names: set[str] = set()
    owners: dict[tuple[object, ...], str] = {}
    for operation in operations:
        if operation.name in names:
            problems.append(f"{operation.name}: two rows")
        names.add(operation.name)
        if operation.superseded_by is not None:
            continue
        other = owners.setdefault(operation.key, operation.name)
        if other != operation.name:
            problems.append(f"{operation.name}: same request as {other}")
    return problems


def _faults_of(operation: Operation) -> list[str]:
    """Return what a row must not be, by itself."""
    reads_whole = operation.body in (BodyKind.XML, BodyKind.TEXT)
    is_built = operation.handler is not None
    has_digest_without_body = operation.needs_checksum and operation.body is BodyKind.NONE
    faults = {
        "no action": ":" not in operation.action,
        "a body that is read whole and its limit go together": reads_whole
        != (operation.body_bytes_max > 0),
        "a checksum of no body": has_digest_without_body,
        "no success status": not 200 <= operation.success_status < 300,
        "a handler without decoder": is_built and operation.decode is None,
        "a handler without encoder": is_built and operation.encode is None,
        "a handler that can never be reached": is_built and operation.superseded_by is not None,
        "more than one sub-resource": len(operation.flags) > 1,
    }
    return [text for text, is_fault in faults.items() if is_fault]


def _faulty_succession(operation: Operation, by_name: Mapping[str, Operation]) -> list[str]:
    """A deprecated row must name one that takes exactly its requests."""
    if operation.superseded_by is None:
        return []
    successor = by_name.get(operation.superseded_by)
    if successor is None or successor.key != operation.key or successor.superseded_by is not None:
        return [f"{operation.name}: {operation.superseded_by} does not take its requests"]
    return []

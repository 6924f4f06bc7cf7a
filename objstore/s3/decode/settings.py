"""Decoders of settings that this store does not keep, of access control lists and of CORS preflights.

A write is judged here and let through only if it asks for what is in force anyway (s3 rule 6.1); all else is refused by name.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from objstore.model.errors import (
    InsufficientPreflight,
    MalformedAcl,
    MalformedXml,
    MissingSecurityHeader,
    NotImplementedByStore,
    UnexpectedContent,
)
from objstore.model.names import ObjectKey
from objstore.s3.decode import refusals
from objstore.s3.decode.address import bucket_of, document_of, required, version_of
from objstore.s3.inputs import AclInput, BucketInput, PreflightInput, UnsetSettingInput
from objstore.s3.request import S3Request
from objstore.s3.unset import DELETES_OF_NOTHING, UNSET_SETTINGS
from objstore.s3.xml import Element

__all__ = [
    "UNSET_DECODERS",
    "preflight",
    "put_acl",
    "put_logging",
    "put_notification",
    "put_request_payment",
]

_ACL: Final = "x-amz-acl"
_PERMISSIONS: Final = frozenset({"FULL_CONTROL", "READ", "READ_ACP", "WRITE", "WRITE_ACP"})
_PAYERS: Final = frozenset({"BucketOwner", "Requester"})
_ORIGIN: Final = "origin"
_METHOD: Final = "access-control-request-method"


def _unset(request: S3Request, _document: Element | None, *, operation: str) -> UnsetSettingInput:
    return UnsetSettingInput(bucket_of(request), operation)


UNSET_DECODERS: Final = {
    name: partial(_unset, operation=name)
    for name in (*(row.get for row in UNSET_SETTINGS), *sorted(DELETES_OF_NOTHING))
}
"""For every operation of `objstore.s3.unset`."""


# --- writes of what is in force -----------------------------------------------------------------------------------


def put_logging(request: S3Request, document: Element | None) -> BucketInput:
    """Take an empty document, which switches logging off (s3 rule 6.4.4)."""
    if document_of(document, "BucketLoggingStatus").children:
        raise _not_built("PutBucketLogging")
    return BucketInput(bucket_of(request))


def put_notification(request: S3Request, document: Element | None) -> BucketInput:
    """Take an empty document, which asks for no events."""
    if document_of(document, "NotificationConfiguration").children:
        raise _not_built("PutBucketNotificationConfiguration")
    return BucketInput(bucket_of(request))


def put_request_payment(request: S3Request, document: Element | None) -> BucketInput:
    """Take the owner as payer (s3 rule 6.4.2)."""
    payer = document_of(document, "RequestPaymentConfiguration").text_of("Payer")
    if payer not in _PAYERS:
        raise MalformedXml
    if payer != "BucketOwner":
        raise _not_built("PutBucketRequestPayment")
    return BucketInput(bucket_of(request))


def _not_built(operation: str) -> NotImplementedByStore:
    return NotImplementedByStore(
        f"The operation {operation} is not implemented by this server.", operation=operation
    )


# --- access control lists -----------------------------------------------------------------------------------------


def put_acl(request: S3Request, document: Element | None) -> AclInput:
    """Read PutBucketAcl or PutObjectAcl: one canned list, or one document (s3 rule 4.18.3)."""
    headers = request.headers
    refusals.refuse(headers, refusals.ACCESS_HEADERS)
    is_canned = _ACL in headers
    if is_canned and document is not None:
        raise UnexpectedContent("This request does not support content")
    if not is_canned and document is None:
        raise MissingSecurityHeader(
            "Your request was missing a required header", missing_header_name=_ACL
        )
    key = None if request.key is None else ObjectKey(request.key)
    return AclInput(
        bucket_of(request),
        key,
        None if key is None else version_of(request),
        None if document is None else _grants(document),
    )


def _grants(document: Element) -> tuple[tuple[str, str], ...]:
    """Return who shall have which permission; raises `MalformedAcl` for a document of another form."""
    try:
        required(
            required(document_of(document, "AccessControlPolicy").child("Owner")).text_of("ID")
        )
        grants = required(document.child("AccessControlList"))
        grants.only(("Grant",))
        return tuple(_grant(grant) for grant in grants.children)
    except MalformedXml as error:
        raise MalformedAcl from error


def _grant(grant: Element) -> tuple[str, str]:
    permission = required(grant.text_of("Permission"))
    if permission not in _PERMISSIONS:
        raise MalformedXml
    # A group or an e-mail address is no id, and so never that of the owner.
    return required(grant.child("Grantee")).text_of("ID") or "", permission


# --- other origins ------------------------------------------------------------------------------------------------


def preflight(request: S3Request, _document: Element | None) -> PreflightInput:
    """Read what a browser asks. Without an origin there is no question, whatever the bucket (s3 rule 6.5.2)."""
    headers = request.headers
    if not headers.get(_ORIGIN):
        raise InsufficientPreflight
    if not headers.get(_METHOD):
        raise InsufficientPreflight("Invalid Access-Control-Request-Method: null")
    return PreflightInput(bucket_of(request), headers[_ORIGIN], headers[_METHOD])

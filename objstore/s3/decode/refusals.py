"""Headers that ask for something this store does not do.

Dropping such a header would store an object in clear that should have been encrypted, unlocked that should have been
locked, or private to nobody's surprise but the owner's. So each of them is refused, with S3's own error where S3 has
one. A value that asks for what happens anyway (`x-amz-acl: private`) is let through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from objstore.model.errors import (
    AccessControlListNotSupported,
    BadRequestError,
    InvalidEncryptionAlgorithm,
    NotImplementedByStore,
)
from objstore.s3.arguments import invalid_argument
from objstore.s3.request import Headers

__all__ = [
    "ACCESS_HEADERS",
    "BYPASS_HEADERS",
    "COPY_SOURCE_HEADERS",
    "PART_HEADERS",
    "READ_HEADERS",
    "WRITE_HEADERS",
    "not_implemented",
    "refuse",
]

Rule: TypeAlias = Callable[[str, Headers], None]
"""Judges one header, by name, with all the others at hand; raises to refuse."""

NOT_IMPLEMENTED_TEXT: Final = "A header you provided implies functionality that is not implemented"

_SSE: Final = "x-amz-server-side-encryption"
_LOCK: Final = "x-amz-object-lock"
_GRANT: Final = "x-amz-grant-"


def refuse(headers: Headers, rules: Mapping[str, Rule]) -> None:
    """Apply the rule of every header that is there, in the order of the table. Raises what the rule raises."""
    if rules.keys().isdisjoint(headers):
        return
    for name, rule in rules.items():
        if name in headers:
            rule(name, headers)


def not_implemented(header: str, *, reason: str = "") -> NotImplementedByStore:
    """Build the answer 501 that names a header (s3 rule 4.5.2)."""
    if not reason:
        return NotImplementedByStore(NOT_IMPLEMENTED_TEXT, header=header)
    return NotImplementedByStore(NOT_IMPLEMENTED_TEXT, header=header, additional_message=reason)


def _never(name: str, _headers: Headers) -> None:
    raise not_implemented(name)


def _unless_false(name: str, headers: Headers) -> None:
    if headers[name].strip().lower() != "false":
        raise not_implemented(name)


# --- encryption (s3 rules 4.17.2, 4.17.3, 4.17.6) ---------------------------------------------------------------

_KNOWN_ENCRYPTIONS: Final = frozenset(
    {"AES256", "aws:kms", "aws:kms:dsse", "aws:fsx", "aws:backup"}
)
_CUSTOMER_PARTS: Final = ("customer-algorithm", "customer-key", "customer-key-md5")


def _encryption(name: str, headers: Headers) -> None:
    if headers[name] not in _KNOWN_ENCRYPTIONS:
        raise _unknown_encryption(headers[name])
    if any(f"{_SSE}-{part}" in headers for part in _CUSTOMER_PARTS):
        raise invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the "
            "encryption method specified",
            name=_SSE,
            value=headers[name],
        )
    raise not_implemented(name)


def _customer_algorithm(name: str, headers: Headers) -> None:
    if headers[name] != "AES256":
        raise _unknown_encryption(headers[name])
    raise not_implemented(name)


def _unknown_encryption(value: str) -> InvalidEncryptionAlgorithm:
    return InvalidEncryptionAlgorithm(
        "The encryption request you specified is not valid. Supported value: AES256.",
        argument_name=_SSE,
        argument_value=value,
    )


def _fixed_elsewhere(name: str, _headers: Headers) -> None:
    raise BadRequestError(f"{name} header is not supported for this operation.")


def _not_encrypted(_name: str, _headers: Headers) -> None:
    raise BadRequestError("The encryption parameters are not applicable to this object.")


# --- object lock (s3 rules 4.14.7, 4.16.4, 4.16.10) -------------------------------------------------------------


def _lock_pair(name: str, headers: Headers) -> None:
    for half in (f"{_LOCK}-mode", f"{_LOCK}-retain-until-date"):
        if half not in headers:
            raise invalid_argument(
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be "
                "supplied",
                name=half,
                value="",
            )
    mode = headers[f"{_LOCK}-mode"]
    if mode not in {"GOVERNANCE", "COMPLIANCE"}:
        raise invalid_argument("Unknown wormMode directive.", name=f"{_LOCK}-mode", value=mode)
    _no_lock(name, headers)


def _legal_hold(name: str, headers: Headers) -> None:
    if headers[name] not in {"ON", "OFF"}:
        raise invalid_argument(
            "Legal Hold must be either of 'ON' or 'OFF'", name=name, value=headers[name]
        )
    _no_lock(name, headers)


def _no_lock(_name: str, _headers: Headers) -> None:
    raise BadRequestError("Bucket is missing ObjectLockConfiguration")


def _bypass(name: str, headers: Headers) -> None:
    raise invalid_argument(
        "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
        name=name,
        value=headers[name],
    )


# --- access control lists (s3 rules 4.18.1 to 4.18.3) -----------------------------------------------------------

_ACLS_WITHOUT_EFFECT: Final = frozenset({"private", "bucket-owner-full-control"})
_ACLS_WITH_EFFECT: Final = frozenset(
    {
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "log-delivery-write",
    }
)


def _canned(name: str, headers: Headers) -> None:
    value = headers[name]
    if value not in _ACLS_WITHOUT_EFFECT | _ACLS_WITH_EFFECT:
        raise invalid_argument("", name=name, value=value)
    if any(header.startswith(_GRANT) for header in headers):
        raise BadRequestError("Specifying both Canned ACLs and Header Grants is not allowed")
    if value in _ACLS_WITH_EFFECT:
        raise AccessControlListNotSupported("The bucket does not allow ACLs")


def _grant(_name: str, _headers: Headers) -> None:
    raise AccessControlListNotSupported("The bucket does not allow ACLs")


# --- the tables -------------------------------------------------------------------------------------------------

_CUSTOMER_KEY_HEADERS: Final[Mapping[str, Rule]] = {
    f"{_SSE}-customer-algorithm": _customer_algorithm,
    f"{_SSE}-customer-key": _never,
    f"{_SSE}-customer-key-md5": _never,
}

PART_HEADERS: Final[Mapping[str, Rule]] = {_SSE: _fixed_elsewhere, **_CUSTOMER_KEY_HEADERS}
"""For parts and Complete: how the object is encrypted was fixed by Create (s3 rule 4.17.5)."""

ACCESS_HEADERS: Final[Mapping[str, Rule]] = {
    "x-amz-acl": _canned,
    **{
        f"{_GRANT}{permission}": _grant
        for permission in ("full-control", "read", "read-acp", "write", "write-acp")
    },
}
"""For everything that may carry an ACL."""

WRITE_HEADERS: Final[Mapping[str, Rule]] = {
    _SSE: _encryption,
    f"{_SSE}-aws-kms-key-id": _never,
    f"{_SSE}-context": _never,
    f"{_SSE}-bucket-key-enabled": _unless_false,
    **_CUSTOMER_KEY_HEADERS,
    f"{_LOCK}-mode": _lock_pair,
    f"{_LOCK}-retain-until-date": _lock_pair,
    f"{_LOCK}-legal-hold": _legal_hold,
    f"{_LOCK}-event-hold": _never,
    f"{_LOCK}-event-hold-duration-days": _never,
    f"{_LOCK}-event-hold-duration-years": _never,
    # Without append, ignoring it would overwrite the object with its own tail (s3 rule 8.3.1).
    "x-amz-write-offset-bytes": _never,
    **ACCESS_HEADERS,
}
"""For everything that makes an object."""

COPY_SOURCE_HEADERS: Final[Mapping[str, Rule]] = {
    f"x-amz-copy-source-server-side-encryption-{part}": _not_encrypted for part in _CUSTOMER_PARTS
}
"""For copies: no source is encrypted with a customer's key."""

READ_HEADERS: Final[Mapping[str, Rule]] = {
    _SSE: _fixed_elsewhere,
    **{f"{_SSE}-{part}": _not_encrypted for part in _CUSTOMER_PARTS},
}
"""For reads of objects and their attributes."""

BYPASS_HEADERS: Final[Mapping[str, Rule]] = {"x-amz-bypass-governance-retention": _bypass}
"""For deletes."""

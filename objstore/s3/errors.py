"""From errors of the store to S3's error answers: code, status, text, document, headers.

One row for each leaf of `objstore.model.errors`. A leaf without a row answers like its family, but
a test does not let that happen. Faults of ours - damage, bugs, missing quorums - show S3's text and
nothing of what is inside: which drive, which node and which bytes is for the log.

Details of an error become children of the document under their Pascal-case names. Details whose
name begins with `header_` become headers instead: `header_delete_marker` (a version id),
`header_last_modified` (an `Instant`), `header_allow`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from objstore.model import errors as model
from objstore.model.errors import ObjstoreError
from objstore.model.instant import Instant
from objstore.s3.dates import http_date
from objstore.s3.reply import HeaderPairs, Reply
from objstore.s3.xml import tag

__all__ = ["ERROR_CODES", "S3ErrorCode", "error_code", "error_document", "error_reply"]

RETRY_AFTER_S: Final = 1
"""What a client shall wait at least; queues of this store drain in less."""


@dataclass(frozen=True, slots=True)
class S3ErrorCode:
    """How S3 shows an error. `message` stands where the error brings no text of its own."""

    code: str
    status: int
    message: str
    is_internal: bool = False
    """Never show the text and the details of the error itself."""
    retry_after_s: int | None = None


def _internal() -> S3ErrorCode:
    message = "We encountered an internal error. Please try again."
    return S3ErrorCode("InternalError", 500, message, is_internal=True)


def _unavailable(code: str, message: str) -> S3ErrorCode:
    return S3ErrorCode(code, 503, message, is_internal=True, retry_after_s=RETRY_AFTER_S)


_BUSY: Final = _unavailable("SlowDown", "Please reduce your request rate.")
_AWAY: Final = _unavailable("ServiceUnavailable", "Please try again.")

_BAD_REQUESTS: Final[dict[type[ObjstoreError], tuple[str, str]]] = {
    model.InvalidRequest: ("InvalidRequest", "Invalid Request"),
    model.AccessControlListNotSupported: (
        "AccessControlListNotSupported",
        "The bucket does not allow ACLs",
    ),
    model.AuthorizationHeaderMalformed: (
        "AuthorizationHeaderMalformed",
        "The authorization header that you provided is not valid.",
    ),
    model.AuthorizationQueryParametersError: (
        "AuthorizationQueryParametersError",
        "Query-string authentication requires valid parameters.",
    ),
    model.BadDigest: (
        "BadDigest",
        "The Content-MD5 you specified did not match what we received.",
    ),
    model.BadRequestError: ("InvalidRequest", "Invalid Request"),
    model.EntityTooLarge: (
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
    ),
    model.EntityTooSmall: (
        "EntityTooSmall",
        "Your proposed upload is smaller than the minimum allowed size",
    ),
    model.HeaderSectionTooLarge: (
        "RequestHeaderSectionTooLarge",
        "Your request header section exceeds the maximum allowed size",
    ),
    model.IllegalVersioningConfiguration: (
        "IllegalVersioningConfigurationException",
        "The Versioning element must be specified",
    ),
    model.IncompleteBody: (
        "IncompleteBody",
        "The request body terminated unexpectedly",
    ),
    model.InsufficientPreflight: (
        "BadRequest",
        "Insufficient information. Origin request header needed.",
    ),
    model.InvalidArgument: ("InvalidArgument", "Invalid Argument"),
    model.InvalidBucketName: ("InvalidBucketName", "The specified bucket is not valid."),
    model.InvalidBucketOwnerAccountId: (
        "InvalidBucketOwnerAWSAccountID",
        "The value of the expected bucket owner parameter must be an AWS account ID",
    ),
    model.InvalidDigest: ("InvalidDigest", "The Content-MD5 you specified was invalid."),
    model.InvalidEncryptionAlgorithm: (
        "InvalidEncryptionAlgorithmError",
        "The encryption request you specified is not valid. Supported value: AES256.",
    ),
    model.InvalidLocationConstraint: (
        "InvalidLocationConstraint",
        "The specified location-constraint is not valid",
    ),
    model.InvalidPart: (
        "InvalidPart",
        (
            "One or more of the specified parts could not be found.  The part may not have been "
            "uploaded, or the specified entity tag may not match the part's entity tag."
        ),
    ),
    model.InvalidPartOrder: (
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    model.InvalidRedirectLocation: (
        "InvalidRedirectLocation",
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ),
    model.InvalidStorageClass: (
        "InvalidStorageClass",
        "The storage class you specified is not valid",
    ),
    model.InvalidTag: ("InvalidTag", "The tag provided was not a valid tag."),
    model.InvalidToken: ("InvalidToken", "The provided token is malformed or otherwise invalid."),
    model.InvalidUri: ("InvalidURI", "Couldn't parse the specified URI."),
    model.KeyTooLong: ("KeyTooLongError", "Your key is too long"),
    model.MalformedAcl: (
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    model.MalformedTrailer: (
        "MalformedTrailerError",
        (
            "The request contained trailing data that was not well-formed or did not conform to our "
            "published schema."
        ),
    ),
    model.MalformedXml: (
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    model.MaxMessageLengthExceeded: ("MaxMessageLengthExceeded", "Your request was too big."),
    model.MetadataTooLarge: (
        "MetadataTooLarge",
        "Your metadata headers exceed the maximum allowed metadata size",
    ),
    model.MissingRequestBody: ("MissingRequestBodyError", "Request Body is empty"),
    model.MissingSecurityHeader: (
        "MissingSecurityHeader",
        "Your request was missing a required header",
    ),
    model.PayloadHashMismatch: (
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
    model.RequestTimeout: (
        "RequestTimeout",
        (
            "Your socket connection to the server was not read from or written to within the timeout "
            "period. Idle connections will be closed."
        ),
    ),
    model.TooManyTags: ("BadRequest", "Tags cannot be more than the allowed number"),
    model.UnexpectedContent: ("UnexpectedContent", "This request does not support content"),
}
"""Everything that is a plain 400."""

ERROR_CODES: Final[dict[type[ObjstoreError], S3ErrorCode]] = {
    kind: S3ErrorCode(code, 400, message) for kind, (code, message) in _BAD_REQUESTS.items()
} | {
    ObjstoreError: _internal(),
    # --- not a 400, though the caller has to change something
    model.InvalidPartNumber: S3ErrorCode(
        "InvalidPartNumber", 416, "The requested partnumber is not satisfiable"
    ),
    model.InvalidRange: S3ErrorCode("InvalidRange", 416, "The requested range is not satisfiable"),
    model.MethodNotAllowed: S3ErrorCode(
        "MethodNotAllowed", 405, "The specified method is not allowed against this resource."
    ),
    model.MissingContentLength: S3ErrorCode(
        "MissingContentLength", 411, "You must provide the Content-Length HTTP header."
    ),
    # --- who may
    model.Denied: S3ErrorCode("AccessDenied", 403, "Access Denied"),
    model.AccessDenied: S3ErrorCode("AccessDenied", 403, "Access Denied"),
    model.CorsForbidden: S3ErrorCode(
        "AccessForbidden", 403, "CORSResponse: This CORS request is not allowed."
    ),
    model.InvalidAccessKeyId: S3ErrorCode(
        "InvalidAccessKeyId",
        403,
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    model.SignatureDoesNotMatch: S3ErrorCode(
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    ),
    model.RequestTimeTooSkewed: S3ErrorCode(
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
    ),
    # --- what is not there
    model.NotFound: S3ErrorCode("NoSuchKey", 404, "The specified key does not exist."),
    model.NoSuchBucket: S3ErrorCode("NoSuchBucket", 404, "The specified bucket does not exist"),
    model.NoSuchBucketPolicy: S3ErrorCode(
        "NoSuchBucketPolicy", 404, "The bucket policy does not exist"
    ),
    model.NoSuchConfiguration: S3ErrorCode(
        "NoSuchConfiguration", 404, "The specified configuration does not exist."
    ),
    model.NoSuchCorsConfiguration: S3ErrorCode(
        "NoSuchCORSConfiguration", 404, "The CORS configuration does not exist"
    ),
    model.NoSuchEncryptionConfiguration: S3ErrorCode(
        "ServerSideEncryptionConfigurationNotFoundError",
        404,
        "The server side encryption configuration was not found",
    ),
    model.NoSuchLifecycleConfiguration: S3ErrorCode(
        "NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"
    ),
    model.NoSuchObjectLockConfiguration: S3ErrorCode(
        "ObjectLockConfigurationNotFoundError",
        404,
        "Object Lock configuration does not exist for this bucket",
    ),
    model.NoSuchOwnershipControls: S3ErrorCode(
        "OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found"
    ),
    model.NoSuchPublicAccessBlock: S3ErrorCode(
        "NoSuchPublicAccessBlockConfiguration",
        404,
        "The public access block configuration was not found",
    ),
    model.NoSuchReplicationConfiguration: S3ErrorCode(
        "ReplicationConfigurationNotFoundError",
        404,
        "The replication configuration was not found",
    ),
    model.NoSuchWebsiteConfiguration: S3ErrorCode(
        "NoSuchWebsiteConfiguration",
        404,
        "The specified bucket does not have a website configuration",
    ),
    model.NoSuchKey: S3ErrorCode("NoSuchKey", 404, "The specified key does not exist."),
    model.NoSuchPath: S3ErrorCode("NoSuchPath", 404, "The specified path does not exist."),
    model.NoSuchTagSet: S3ErrorCode("NoSuchTagSet", 404, "The TagSet does not exist"),
    model.NoSuchUpload: S3ErrorCode(
        "NoSuchUpload",
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may "
        "have been aborted or completed.",
    ),
    model.NoSuchVersion: S3ErrorCode("NoSuchVersion", 404, "The specified version does not exist."),
    # --- what the state forbids
    model.Conflict: S3ErrorCode(
        "OperationAborted",
        409,
        "A conflicting conditional operation is currently in progress against this resource.",
    ),
    model.BucketAlreadyExists: S3ErrorCode(
        "BucketAlreadyExists",
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users "
        "of the system. Please select a different name and try again.",
    ),
    model.BucketAlreadyOwnedByYou: S3ErrorCode(
        "BucketAlreadyOwnedByYou",
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    model.BucketNotEmpty: S3ErrorCode(
        "BucketNotEmpty", 409, "The bucket you tried to delete is not empty"
    ),
    model.ConditionalRequestConflict: S3ErrorCode(
        "ConditionalRequestConflict",
        409,
        "The conditional request cannot succeed due to a conflicting operation against this "
        "resource.",
    ),
    model.DeleteMarkerNotAllowed: S3ErrorCode(
        "MethodNotAllowed", 405, "The specified method is not allowed against this resource."
    ),
    model.NotEnoughDrives: S3ErrorCode("NotEnoughDrives", 409, "Too few drives are left."),
    model.NotModified: S3ErrorCode("NotModified", 304, "Not Modified"),
    model.OperationAborted: S3ErrorCode(
        "OperationAborted",
        409,
        "A conflicting conditional operation is currently in progress against this resource. "
        "Please try again.",
    ),
    model.PreconditionFailed: S3ErrorCode(
        "PreconditionFailed",
        412,
        "At least one of the pre-conditions you specified did not hold",
    ),
    # --- later
    model.Unavailable: _AWAY,
    model.ClientDisconnected: S3ErrorCode("RequestTimeout", 400, "The client went away."),
    model.ControlStoreUnfit: _AWAY,
    model.Draining: _AWAY,
    model.HistoryForgotten: _AWAY,
    model.DriveUnavailable: _AWAY,
    model.NotLeader: _AWAY,
    model.QuorumNotReached: _AWAY,
    model.SlowDown: _BUSY,
    # Clients retry every 503; waiting does not make room (s3 rule 1.7.8).
    model.StorageFull: S3ErrorCode(
        "InsufficientStorage", 507, "There is no room left for new data.", is_internal=True
    ),
    # --- damage, gaps, bugs
    model.Corrupt: _internal(),
    model.CorruptRecord: _internal(),
    model.CorruptShard: _internal(),
    model.ShardMissing: _internal(),
    model.UnknownFormat: _internal(),
    model.UnreadableData: _internal(),
    model.InvariantError: _internal(),
    model.Unsupported: S3ErrorCode("NotImplemented", 501, "This is not implemented."),
    model.NotImplementedByStore: S3ErrorCode(
        "NotImplemented",
        501,
        "A header you provided implies functionality that is not implemented",
    ),
}
"""By class of error: all leaves, and their families for what a leaf may be missing."""


def error_code(error: ObjstoreError | type[ObjstoreError]) -> S3ErrorCode:
    """Return the row of an error: its own, or that of the nearest class above it."""
    kind = error if isinstance(error, type) else type(error)
    for ancestor in kind.__mro__:
        row = ERROR_CODES.get(ancestor)
        if row is not None:
            return row
    return ERROR_CODES[ObjstoreError]


def error_reply(
    error: ObjstoreError, *, resource: str, request_id: str, host_id: str, is_head: bool = False
) -> Reply:
    """Return the answer that an error becomes, without the headers that every answer carries.

    HEAD and 304 have no body (s3 rules 1.7.2 and 1.7.3).
    """
    row = error_code(error)
    headers = _headers(error, row)
    if row.status == 304:
        return Reply(row.status, headers)
    headers.append((b"Content-Type", b"application/xml"))
    if is_head:
        return Reply(row.status, headers)
    body = error_document(error, resource=resource, request_id=request_id, host_id=host_id)
    return Reply(row.status, headers, body)


def error_document(error: ObjstoreError, *, resource: str, request_id: str, host_id: str) -> bytes:
    """Return the document: no namespace, or clients would not see the code (s3 rule 1.7.5).

    Also for errors that come after a 200 was sent.
    """
    row = error_code(error)
    message = row.message if row.is_internal else error.message or row.message
    children = "".join(
        (
            tag("Code", row.code),
            tag("Message", _shown(message)),
            *_detail_children(error, row),
            tag("Resource", _shown(resource)),
            tag("RequestId", request_id),
            tag("HostId", host_id),
        )
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{children}</Error>'.encode()


# --- details -----------------------------------------------------------------

_HEADER_PREFIX: Final = "header_"
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_ELEMENT_NAMES: Final = {
    "additional_message": "additionalMessage",
    "aws_access_key_id": "AWSAccessKeyId",
    "client_computed_content_sha256": "ClientComputedContentSHA256",
    "content_md5": "Content-MD5",
    "etag": "ETag",
    "s3_computed_content_sha256": "S3ComputedContentSHA256",
    "token_0": "Token-0",
    "uri": "URI",
    "x_amz_expires": "X-Amz-Expires",
}
"""Details whose element is not just the Pascal-case form; section 10 of the s3 rules."""


def _detail_children(error: ObjstoreError, row: S3ErrorCode) -> Iterator[str]:
    if row.is_internal:
        return
    for name, value in error.detail.items():
        if not name.startswith(_HEADER_PREFIX):
            text = value if isinstance(value, int) else _shown(value)
            yield tag(_ELEMENT_NAMES.get(name) or _pascal(name), text)


def _shown(text: str) -> str:
    """Return the text without what XML 1.0 forbids.

    In a listing such characters become references that lenient parsers read back. A document that a
    strict parser refuses would cost the client the code of its error, and here they only explain.
    """
    return _ILLEGAL.sub("\ufffd", text)


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _headers(error: ObjstoreError, row: S3ErrorCode) -> HeaderPairs:
    """Return the headers that explain an error."""
    headers: HeaderPairs = []
    if row.retry_after_s is not None:
        headers.append((b"Retry-After", b"%d" % row.retry_after_s))
    if row.is_internal:
        return headers
    detail = error.detail
    if "header_delete_marker" in detail:
        headers.append((b"x-amz-delete-marker", b"true"))
        headers.append((b"x-amz-version-id", _header_value(detail["header_delete_marker"])))
    if "header_last_modified" in detail:
        moment = http_date(Instant(int(detail["header_last_modified"])))
        headers.append((b"Last-Modified", moment.encode("ascii")))
    if isinstance(error, model.DeleteMarkerNotAllowed):
        headers.append((b"Allow", b"DELETE"))
    elif "header_allow" in detail:
        headers.append((b"Allow", _header_value(detail["header_allow"])))
    if isinstance(error, model.InvalidRange) and "actual_object_size" in detail:
        # RFC 9110 section 14.4.
        headers.append((b"Content-Range", f"bytes */{detail['actual_object_size']}".encode()))
    return headers


def _header_value(value: str | int) -> bytes:
    """Return the value as bytes that cannot end the header."""
    return "".join(character for character in str(value) if character >= " ").encode()

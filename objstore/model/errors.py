"""Errors of the whole store, by what the caller has to do about them.

    ObjstoreError
      InvalidRequest    the caller must change the request
      Denied            not allowed, or not proven
      NotFound          what was named is not there
      Conflict          the state of things forbids it
      Unavailable       try again later; the outcome of a write is *unknown*
      Corrupt           stored bytes failed verification; never sent on as data
      Unsupported       known to S3, not built here
      InvariantError    a bug of ours

Leaves are specific and carry values, never HTTP: `objstore.s3.errors` maps every leaf to its S3 code, status and
text, and a test fails for a leaf without a row. Values are keyword arguments in snake case; the S3 error document
shows them under their Pascal-case names (`upload_id` as `UploadId`).

Leaves whose name ends the story (`NoSuchKey`) need no message; the ones that S3 uses as catch-alls
(`InvalidArgument`, `BadRequestError`) are raised with S3's own text.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "Conflict",
    "Corrupt",
    "Denied",
    "InvalidRequest",
    "InvariantError",
    "NotFound",
    "ObjstoreError",
    "Unavailable",
    "Unsupported",
    "check",
    "error_from_parts",
    "error_leaves",
]

Detail = str | int


class ObjstoreError(Exception):
    """Root of all expected errors; `detail` holds the values that explain this one."""

    registry: ClassVar[dict[str, type[ObjstoreError]]] = {}
    __slots__ = ("detail", "message")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        ObjstoreError.registry[cls.__name__] = cls

    def __init__(self, message: str = "", /, **detail: Detail) -> None:
        super().__init__(message)
        self.message = message
        self.detail: dict[str, Detail] = detail

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.detail.items())
        text = self.message or type(self).__name__
        return f"{text} ({values})" if values else text

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ObjstoreError)
            and type(other) is type(self)
            and (self.message, self.detail) == (other.message, other.detail)
        )

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.message))

    def to_parts(self) -> tuple[str, str, dict[str, Detail]]:
        """Return what a result table or a frame needs to rebuild this error elsewhere."""
        return type(self).__name__, self.message, self.detail


class InvalidRequest(ObjstoreError):
    """The caller must change the request before sending it again."""


class Denied(ObjstoreError):
    """The caller is not allowed, or did not prove who it is."""


class NotFound(ObjstoreError):
    """What the request names does not exist."""


class Conflict(ObjstoreError):
    """The present state forbids the request."""


class Unavailable(ObjstoreError):
    """Try again later. For a write the outcome is unknown, never "no" (reliability rule T7)."""


class Corrupt(ObjstoreError):
    """Stored data failed verification."""


class Unsupported(ObjstoreError):
    """S3 knows it, this store does not offer it."""


class InvariantError(ObjstoreError):
    """Our own bug."""


def check(condition: object, message: str) -> None:
    """Raise `InvariantError` unless the condition holds; stays on under `python -O`."""
    if not condition:
        raise InvariantError(message)


def error_from_parts(name: str, message: str, detail: dict[str, Detail]) -> ObjstoreError:
    """Rebuild an error from `ObjstoreError.to_parts`; an unknown name becomes `InvariantError`."""
    kind = ObjstoreError.registry.get(name)
    if kind is None:
        return InvariantError(f"unknown error {name}: {message}", **detail)
    return kind(message, **detail)


def error_leaves() -> list[type[ObjstoreError]]:
    """Return every error class that has no subclass, in order of name."""
    kinds = sorted(ObjstoreError.registry.values(), key=lambda kind: kind.__name__)
    return [kind for kind in kinds if not kind.__subclasses__()]


# --- what a request can be wrong about ------------------------------------------------------------------------


class InvalidArgument(InvalidRequest):
    """An argument has a value that S3 does not accept (`argument_name`, `argument_value`)."""


class BadRequestError(InvalidRequest):
    """S3's catch-all code `InvalidRequest`; always raised with a text."""


class TooManyTags(InvalidRequest):
    """S3's code `BadRequest`, used for the number of tags."""


class InsufficientPreflight(InvalidRequest):
    """S3's code `BadRequest`, used for a CORS preflight that lacks what it asks about; raised with a text."""


class MalformedAcl(InvalidRequest):
    """The document of an access control list does not fit its schema."""


class InvalidUri(InvalidRequest):
    """The target cannot be parsed (`uri`)."""


class InvalidBucketName(InvalidRequest):
    """The name breaks the naming rules (`bucket_name`)."""


class KeyTooLong(InvalidRequest):
    """The key exceeds its limit (`size`, `max_size_allowed`)."""


class InvalidLocationConstraint(InvalidRequest):
    """The region of a new bucket is not this one (`location_constraint`)."""


class IllegalVersioningConfiguration(InvalidRequest):
    """The versioning document carries no Status."""


class MalformedXml(InvalidRequest):
    """The document is not well formed or does not fit its schema."""


class MissingRequestBody(InvalidRequest):
    """A document is required and none came."""


class MaxMessageLengthExceeded(InvalidRequest):
    """The document is larger than allowed (`max_message_length_bytes`)."""


class HeaderSectionTooLarge(InvalidRequest):
    """The headers exceed their limit (`max_size_allowed`)."""


class MetadataTooLarge(InvalidRequest):
    """User metadata exceeds its limit (`size`, `max_size_allowed`)."""


class InvalidTag(InvalidRequest):
    """A tag breaks the rules (`tag_key`, `tag_value`)."""


class InvalidStorageClass(InvalidRequest):
    """Unknown storage class (`storage_class_requested`)."""


class InvalidRedirectLocation(InvalidRequest):
    """The website redirect is neither a path nor a URL."""


class InvalidEncryptionAlgorithm(InvalidRequest):
    """Unknown server-side encryption (`argument_name`, `argument_value`)."""


class AccessControlListNotSupported(InvalidRequest):
    """The bucket takes no ACLs."""


class InvalidBucketOwnerAccountId(InvalidRequest):
    """`x-amz-expected-bucket-owner` is not 12 digits."""


class EntityTooLarge(InvalidRequest):
    """The body exceeds its limit (`proposed_size`, `max_size_allowed`)."""


class EntityTooSmall(InvalidRequest):
    """A part other than the last is too small (`proposed_size`, `min_size_allowed`, `part_number`, `etag`)."""


class MissingContentLength(InvalidRequest):
    """A body was announced without any length."""


class IncompleteBody(InvalidRequest):
    """The body ended early, or its framing is broken."""


class RequestTimeout(InvalidRequest):
    """The client stopped sending."""


class InvalidDigest(InvalidRequest):
    """Content-MD5 is not a digest (`content_md5`)."""


class BadDigest(InvalidRequest):
    """A digest does not match the body (`expected_digest`, `calculated_digest`)."""


class PayloadHashMismatch(InvalidRequest):
    """`x-amz-content-sha256` does not match the body."""


class MalformedTrailer(InvalidRequest):
    """The trailer of an aws-chunked body is missing, misnamed or malformed."""


class InvalidPart(InvalidRequest):
    """A listed part is not there or has another ETag (`upload_id`, `part_number`, `etag`)."""


class InvalidPartOrder(InvalidRequest):
    """The part list is not ascending (`upload_id`)."""


class InvalidRange(InvalidRequest):
    """No byte of the object lies in the range (`range_requested`, `actual_object_size`)."""


class InvalidPartNumber(InvalidRequest):
    """The object has fewer parts (`actual_part_count`, `part_number_requested`)."""


class AuthorizationHeaderMalformed(InvalidRequest):
    """The Authorization header cannot be used (`region` where that is the fault)."""


class AuthorizationQueryParametersError(InvalidRequest):
    """The parameters of a presigned URL cannot be used."""


class InvalidToken(InvalidRequest):
    """The session token is malformed or belongs to another key."""


class MethodNotAllowed(InvalidRequest):
    """The method does not fit the resource (`method`, `resource_type`)."""


class UnexpectedContent(InvalidRequest):
    """A body came where none belongs."""


class MissingSecurityHeader(InvalidRequest):
    """A required header is absent (`missing_header_name`)."""


# --- who may ----------------------------------------------------------------------------------------------------


class AccessDenied(Denied):
    """Refused (`headers_not_signed`, `expires`, `server_time` where they explain it)."""


class InvalidAccessKeyId(Denied):
    """The access key is unknown (`aws_access_key_id`)."""


class SignatureDoesNotMatch(Denied):
    """The signature is wrong; the detail shows what the server computed."""


class RequestTimeTooSkewed(Denied):
    """The clocks differ too much (`request_time`, `server_time`, `max_allowed_skew_milliseconds`)."""


class CorsForbidden(Denied):
    """No CORS rule of the bucket allows what a preflight asks (`method`, `resource_type`); raised with S3's text."""


# --- what is not there --------------------------------------------------------------------------------------------


class NoSuchBucket(NotFound):
    """No bucket of that name (`bucket_name`)."""


class NoSuchKey(NotFound):
    """No object under that key, or its current version is a delete marker (`key`)."""


class NoSuchVersion(NotFound):
    """No such version of the key (`key`, `version_id`)."""


class NoSuchUpload(NotFound):
    """No such multipart upload (`upload_id`)."""


class NoSuchTagSet(NotFound):
    """The bucket has no tags (`bucket_name`)."""


class NoSuchBucketPolicy(NotFound):
    """The bucket has no policy (`bucket_name`)."""


class NoSuchConfiguration(NotFound):
    """The bucket has no analytics, inventory, metrics or tiering configuration of that id (`bucket_name`)."""


class NoSuchCorsConfiguration(NotFound):
    """The bucket has no CORS rules (`bucket_name`)."""


class NoSuchEncryptionConfiguration(NotFound):
    """The bucket has no default encryption (`bucket_name`)."""


class NoSuchLifecycleConfiguration(NotFound):
    """The bucket has no lifecycle rules (`bucket_name`)."""


class NoSuchObjectLockConfiguration(NotFound):
    """The bucket has no object lock (`bucket_name`)."""


class NoSuchOwnershipControls(NotFound):
    """The bucket has no ownership controls (`bucket_name`)."""


class NoSuchPublicAccessBlock(NotFound):
    """The bucket has no public access block (`bucket_name`)."""


class NoSuchReplicationConfiguration(NotFound):
    """The bucket has no replication rules (`bucket_name`)."""


class NoSuchWebsiteConfiguration(NotFound):
    """The bucket is no website (`bucket_name`)."""


class NoSuchPath(NotFound):
    """Nothing of the server's own pages lives there."""


# --- what the state forbids -----------------------------------------------------------------------------------------


class BucketAlreadyExists(Conflict):
    """Somebody else owns a bucket of that name (`bucket_name`)."""


class BucketAlreadyOwnedByYou(Conflict):
    """The caller owns a bucket of that name (`bucket_name`)."""


class BucketNotEmpty(Conflict):
    """Versions or delete markers are left (`bucket_name`)."""


class PreconditionFailed(Conflict):
    """A condition did not hold (`condition`)."""


class NotModified(Conflict):
    """A conditional read found nothing new; an answer, not a fault."""


class ConditionalRequestConflict(Conflict):
    """The key changed while a conditional upload was open (`condition`, `key`)."""


class NotEnoughDrives(Conflict):
    """Too few drives are left for the width of a ring (`drives`, `width`)."""


class OperationAborted(Conflict):
    """Another change of the same resource is under way."""


class DeleteMarkerNotAllowed(Conflict):
    """The named version is a delete marker (`method`, `resource_type`)."""


# --- later ------------------------------------------------------------------------------------------------------------


class SlowDown(Unavailable):
    """Queues are full; come back."""


class QuorumNotReached(Unavailable):
    """Not enough replicas or shards became durable in time."""


class NotLeader(Unavailable):
    """The partition is led elsewhere (`leader`)."""


class DriveUnavailable(Unavailable):
    """A drive is offline, foreign or failing (`drive`)."""


class StorageFull(Unavailable):
    """No drive has room for new data; deletes still work."""


class Draining(Unavailable):
    """The server is going down and takes no new work."""


class HistoryForgotten(Unavailable):
    """A watch asks for changes that are no longer kept (`revision`); read the items again."""


class ControlStoreUnfit(Unavailable):
    """The control store's server must not be used until the operator acts (`endpoint`, `version`)."""


class ClientDisconnected(Unavailable):
    """The client went away; nobody reads the answer."""


# --- damage, gaps, bugs ---------------------------------------------------------------------------------------------------


class CorruptRecord(Corrupt):
    """A row or a file header does not carry its own checksum."""


class CorruptShard(Corrupt):
    """The bytes of a shard fail verification (`drive`, `shard`)."""


class ShardMissing(Corrupt):
    """A shard is not where it should be (`drive`, `shard`)."""


class UnreadableData(Corrupt):
    """Too few intact shards are left to rebuild a block."""


class UnknownFormat(Corrupt):
    """A record was written by a newer version (`version`)."""


class NotImplementedByStore(Unsupported):
    """An operation or header of S3 that is not built (`header` or `operation`)."""

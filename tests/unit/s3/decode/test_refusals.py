"""Headers that must never be dropped."""

import pytest

from objstore.model.errors import (
    AccessControlListNotSupported,
    BadRequestError,
    InvalidArgument,
    InvalidEncryptionAlgorithm,
    NotImplementedByStore,
)

WRITES = ["PutObject", "CreateMultipartUpload", "CopyObject"]
SSE = "x-amz-server-side-encryption"


def _headers(operation, headers):
    return headers | ({"x-amz-copy-source": "source/k"} if operation == "CopyObject" else {})


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (SSE, "AES256"),
        (SSE, "aws:kms"),
        (f"{SSE}-aws-kms-key-id", "k"),
        (f"{SSE}-context", "e30="),
        (f"{SSE}-bucket-key-enabled", "true"),
        (f"{SSE}-customer-algorithm", "AES256"),
        (f"{SSE}-customer-key", "secret"),
        ("x-amz-write-offset-bytes", "10"),
        ("x-amz-object-lock-event-hold", "ON"),
    ],
)
def test_writes_refuse_what_they_would_not_do(decode, operation, name, value):
    """Stored in clear, or overwritten by its own tail, is worse than refused (s3 rules 4.17.2, 8.3.1)."""
    with pytest.raises(NotImplementedByStore) as caught:
        decode(operation, headers=_headers(operation, {name: value}))
    assert caught.value.detail == {"header": name}


@pytest.mark.parametrize("name", [SSE, f"{SSE}-customer-algorithm"])
def test_unknown_encryption_has_its_own_error(decode, name):
    """SDK tests look for the code (s3 rules 4.17.2, 4.17.3)."""
    with pytest.raises(InvalidEncryptionAlgorithm) as caught:
        decode("PutObject", headers={name: "rot13"})
    assert caught.value.detail == {"argument_name": SSE, "argument_value": "rot13"}


def test_two_encryptions_at_once_are_a_contradiction(decode):
    """S3 names the contradiction before anything else (s3 rule 4.17.3)."""
    with pytest.raises(InvalidArgument, match="incompatible with the encryption method"):
        decode("PutObject", headers={SSE: "AES256", f"{SSE}-customer-algorithm": "AES256"})


def test_reads_refuse_keys_for_what_is_not_encrypted(decode):
    """A reader who sends a key believes that the object is encrypted (s3 rule 4.17.6)."""
    for headers in ({SSE: "AES256"}, {f"{SSE}-customer-algorithm": "AES256"}):
        with pytest.raises(BadRequestError):
            decode("GetObject", headers=headers)
    name = "x-amz-copy-source-server-side-encryption-customer-key"
    with pytest.raises(BadRequestError):
        decode("CopyObject", headers={"x-amz-copy-source": "source/k", name: "k"})


@pytest.mark.parametrize(
    ("headers", "error", "text"),
    [
        ({"mode": "GOVERNANCE"}, InvalidArgument, "must both be supplied"),
        ({"retain-until-date": "2030-01-01T00:00:00Z"}, InvalidArgument, "must both be supplied"),
        ({"mode": "x", "retain-until-date": "2030-01-01T00:00:00Z"}, InvalidArgument, "wormMode"),
        (
            {"mode": "GOVERNANCE", "retain-until-date": "2030-01-01T00:00:00Z"},
            BadRequestError,
            "Bucket is missing ObjectLockConfiguration",
        ),
        ({"legal-hold": "on"}, InvalidArgument, "Legal Hold must be either"),
        ({"legal-hold": "ON"}, BadRequestError, "Bucket is missing ObjectLockConfiguration"),
    ],
)
def test_locks_are_refused_where_there_is_no_lock(decode, headers, error, text):
    """An object that its owner believes to be locked must be locked (s3 rule 4.16.4)."""
    headers = {f"x-amz-object-lock-{name}": value for name, value in headers.items()}
    with pytest.raises(error, match=text):
        decode("PutObject", headers=headers)


@pytest.mark.parametrize("operation", [*WRITES, "CreateBucket"])
def test_acls_with_an_effect_are_refused(decode, operation):
    """The bucket's owner is the only one with rights from an ACL (s3 rules 4.18.1, 4.18.3)."""

    def attempt(headers):
        return decode(operation, headers=_headers(operation, headers))

    assert attempt({"x-amz-acl": "private"})
    assert attempt({"x-amz-acl": "bucket-owner-full-control"})
    with pytest.raises(AccessControlListNotSupported, match="does not allow ACLs"):
        attempt({"x-amz-acl": "public-read"})
    with pytest.raises(AccessControlListNotSupported):
        attempt({"x-amz-grant-read": 'uri="x"'})
    with pytest.raises(InvalidArgument) as caught:
        attempt({"x-amz-acl": "wide-open"})
    assert caught.value.message == ""
    assert caught.value.detail == {"argument_name": "x-amz-acl", "argument_value": "wide-open"}
    with pytest.raises(BadRequestError, match="both Canned ACLs and Header Grants"):
        attempt({"x-amz-acl": "private", "x-amz-grant-read": 'id="x"'})


@pytest.mark.parametrize("operation", ["UploadPart", "UploadPartCopy"])
def test_parts_refuse_an_encryption_of_their_own(decode, operation):
    """A part in clear inside an encrypted upload must not happen (s3 rule 4.17.5)."""
    for name, error in (
        (f"{SSE}-customer-algorithm", NotImplementedByStore),
        (SSE, BadRequestError),
    ):
        headers = {name: "AES256", "x-amz-copy-source": "source/key"}
        with pytest.raises(error):
            decode(operation, headers=headers, query={"partNumber": "1"})

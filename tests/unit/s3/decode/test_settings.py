"""Decoding of settings that the store does not keep, of access control lists and preflights."""

import pytest

from objstore.model.errors import (
    AccessControlListNotSupported,
    InsufficientPreflight,
    InvalidArgument,
    MalformedAcl,
    MalformedXml,
    MissingSecurityHeader,
    NotImplementedByStore,
    UnexpectedContent,
)
from objstore.s3.inputs import AclInput, BucketInput, PreflightInput, UnsetSettingInput

ACL = (
    '<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>me</ID></Owner>'
    '<AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:type="CanonicalUser"><ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>'
    "</AccessControlList></AccessControlPolicy>"
)


def test_an_unset_setting_is_known_by_its_operation(decode):
    """One handler serves them all."""
    for name in ("GetBucketCors", "DeleteBucketCors"):
        assert decode(name, key=None) == UnsetSettingInput("bucket", name)


IN_FORCE = {
    "PutBucketLogging": ("<BucketLoggingStatus/>", "<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>"),
    "PutBucketNotificationConfiguration": (
        "<NotificationConfiguration/>",
        "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>",
    ),
    "PutBucketRequestPayment": (
        "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>",
        "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("operation", IN_FORCE)
def test_only_what_is_in_force_can_be_put(decode, operation):
    """Whatever asks for more is refused by its name, or it would be lost without a word (s3 rules 6.1, 1.4.5)."""
    same, more = IN_FORCE[operation]
    assert decode(operation, key=None, xml=same) == BucketInput("bucket")
    with pytest.raises(NotImplementedByStore) as caught:
        decode(operation, key=None, xml=more)
    assert caught.value.detail == {"operation": operation}
    with pytest.raises(MalformedXml):
        decode(operation, key=None, xml="<a/>")


def test_a_payer_of_another_name_is_malformed(decode):
    """s3 rule 6.4.2."""
    for inner in ("", "<Payer>Nobody</Payer>"):
        xml = f"<RequestPaymentConfiguration>{inner}</RequestPaymentConfiguration>"
        with pytest.raises(MalformedXml):
            decode("PutBucketRequestPayment", key=None, xml=xml)


def test_a_list_is_canned_or_a_document(decode):
    """Exactly one of the two (s3 rule 4.18.3)."""
    canned = {"x-amz-acl": "private"}
    assert decode("PutBucketAcl", key=None, headers=canned) == AclInput("bucket")
    assert decode("PutObjectAcl", headers=canned) == AclInput("bucket", b"key")
    grants = (("me", "FULL_CONTROL"),)
    assert decode("PutBucketAcl", key=None, xml=ACL) == AclInput("bucket", grants=grants)
    with pytest.raises(UnexpectedContent):
        decode("PutBucketAcl", xml=ACL, headers=canned)
    with pytest.raises(MissingSecurityHeader) as caught:
        decode("PutBucketAcl")
    assert caught.value.detail == {"missing_header_name": "x-amz-acl"}
    with pytest.raises(AccessControlListNotSupported):
        decode("PutObjectAcl", headers={"x-amz-acl": "public-read"})
    with pytest.raises(AccessControlListNotSupported):
        decode("PutObjectAcl", headers={"x-amz-grant-read": 'id="me"'})
    with pytest.raises(InvalidArgument):
        decode("PutObjectAcl", headers={"x-amz-acl": "nonsense"})


def test_a_group_is_nobody(decode):
    """A grant to a group has no id, so that it is never taken for the owner's."""
    xml = ACL.replace("<Grantee", "<Grantee ").replace(
        "<ID>me</ID></Grantee>", "<URI>all</URI></Grantee>"
    )
    assert decode("PutObjectAcl", xml=xml).grants == (("", "FULL_CONTROL"),)


@pytest.mark.parametrize(
    "change",
    [
        ("AccessControlPolicy", "Policy"),
        ("<Owner><ID>me</ID></Owner>", ""),
        ("<Owner><ID>me</ID></Owner>", "<Owner/>"),
        ("AccessControlList", "Grants"),
        ("<Permission>FULL_CONTROL</Permission>", ""),
        ("FULL_CONTROL", "ALL"),
        ("<Grant>", "<Grant><Permission>READ</Permission>"),
        ("Grant>", "Give>"),
    ],
)  # fmt: skip
def test_a_list_of_another_form_is_malformed(decode, change):
    """With the code that belongs to lists (s3 rule 4.18.3)."""
    with pytest.raises(MalformedAcl):
        decode("PutObjectAcl", xml=ACL.replace(*change))


def test_a_preflight_needs_its_two_headers(decode):
    """Origin is judged first (s3 rule 6.5.2)."""
    whole = {"origin": "https://a", "access-control-request-method": "PUT"}
    assert decode("PreflightRequest", headers=whole) == PreflightInput("bucket", "https://a", "PUT")
    with pytest.raises(InsufficientPreflight, match="InsufficientPreflight"):
        decode("PreflightRequest", headers={"access-control-request-method": "PUT"})
    with pytest.raises(InsufficientPreflight, match="null"):
        decode("PreflightRequest", headers={"origin": "https://a"})

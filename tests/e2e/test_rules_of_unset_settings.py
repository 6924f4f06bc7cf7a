"""Rule 22 to the letter: what S3 answers about every setting of a bucket that nobody configured (s3 rule 6.1).

Tools that describe infrastructure read all settings on every run and know these codes; any other answer ends the run. The table
names the answers for reads and removals, and the writes that ask for what is in force anyway.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from objstore.testing.raw_client import RawCall
from objstore.testing.wire import check_refusal

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
UNSET = {
    "accelerate": "AccelerateConfiguration",
    "acl": "AccessControlPolicy",
    "analytics": "ListBucketAnalyticsConfigurationResult",
    "analytics&id=x": (404, "NoSuchConfiguration"),
    "cors": (404, "NoSuchCORSConfiguration"),
    "encryption": (404, "ServerSideEncryptionConfigurationNotFoundError"),
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsOutput",
    "intelligent-tiering&id=x": (404, "NoSuchConfiguration"),
    "inventory": "ListInventoryConfigurationsResult",
    "inventory&id=x": (404, "NoSuchConfiguration"),
    "lifecycle": (404, "NoSuchLifecycleConfiguration"),
    "location": "LocationConstraint",
    "logging": "BucketLoggingStatus",
    "metrics": "ListMetricsConfigurationsResult",
    "metrics&id=x": (404, "NoSuchConfiguration"),
    "notification": "NotificationConfiguration",
    "object-lock": (404, "ObjectLockConfigurationNotFoundError"),
    "ownershipControls": (404, "OwnershipControlsNotFoundError"),
    "policy": (404, "NoSuchBucketPolicy"),
    "policyStatus": "PolicyStatus",
    "publicAccessBlock": (404, "NoSuchPublicAccessBlockConfiguration"),
    "replication": (404, "ReplicationConfigurationNotFoundError"),
    "requestPayment": "RequestPaymentConfiguration",
    "tagging": (404, "NoSuchTagSet"),
    "versioning": "VersioningConfiguration",
    "website": (404, "NoSuchWebsiteConfiguration"),
}
"""The root of the document, or the refusal."""
WITHOUT_DELETE = {
    *("accelerate", "acl", "location", "logging", "notification", "object-lock", "policyStatus"),
    *("requestPayment", "versioning"),
}


@pytest.mark.parametrize("name", UNSET)
def test_rule_22_a_read_says_that_nothing_is_set(place, name):
    """Rule 22: a code of its own or a document of its own, before and after a removal; of a bucket that is not there it is
    NoSuchBucket, and HEAD of a setting is no request of S3.
    """
    expected = UNSET[name]
    for _ in range(2):
        got = place.ask(f"GET ?{name}")
        if isinstance(expected, str):
            assert got.status == 200, got
            assert ET.fromstring(got.body).tag == NAMESPACE + expected
        else:
            check_refusal(got, *expected)
            assert f"<BucketName>{place.bucket}</BucketName>".encode() in got.body
        place.ask(f"DELETE ?{name}")
    query = tuple((n, v) for n, _, v in (term.partition("=") for term in name.split("&")))
    elsewhere = place.client.signed(RawCall("GET", "/no-such-bucket", query))
    check_refusal(place.client.send(elsewhere), 404, "NoSuchBucket")
    assert place.ask("HEAD ").status == 200


@pytest.mark.parametrize("name", UNSET)
def test_rule_22_a_removal_has_nothing_to_remove(place, name):
    """Rule 22: 204 each time, or NoSuchConfiguration for what has an id; S3 has no removal of some (6.1.1). The bucket stays."""
    place.ask("PUT k", b"x")
    for _ in range(2):
        gone = place.ask(f"DELETE ?{name}")
        if name in WITHOUT_DELETE:
            check_refusal(gone, 405, "MethodNotAllowed")
        elif name.endswith("id=x"):
            check_refusal(gone, 404, "NoSuchConfiguration")
        elif f"{name}&id=x" in UNSET:
            check_refusal(gone, 400, "InvalidArgument")
        else:
            assert (gone.status, gone.body) == (204, b"")
    assert place.ask("GET k").body == b"x"


WRITES = {
    "accelerate": b"<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>",
    "analytics&id=x": b"<AnalyticsConfiguration><Id>x</Id></AnalyticsConfiguration>",
    "cors": b"<CORSConfiguration/>",
    "encryption": b"<ServerSideEncryptionConfiguration/>",
    "intelligent-tiering&id=x": b"<IntelligentTieringConfiguration/>",
    "inventory&id=x": b"<InventoryConfiguration/>",
    "lifecycle": b"<LifecycleConfiguration/>",
    "logging": b"<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>",
    "metrics&id=x": b"<MetricsConfiguration/>",
    "notification": b"<NotificationConfiguration><QueueConfiguration/></NotificationConfiguration>",
    "object-lock": b"<ObjectLockConfiguration/>",
    "ownershipControls": b"<OwnershipControls/>",
    "policy": b"{}",
    "publicAccessBlock": b"<PublicAccessBlockConfiguration/>",
    "replication": b"<ReplicationConfiguration/>",
    "requestPayment": b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
    "website": b"<WebsiteConfiguration/>",
}


@pytest.mark.parametrize("name", WRITES)
def test_rule_22_a_write_of_what_is_not_built_stores_nothing(place, name):
    """Rule 22: 501 with the name of the operation; the setting reads as before, and nothing ran in its place (1.4.5)."""
    before = place.ask(f"GET ?{name}")
    refused = place.ask(f"PUT ?{name}", WRITES[name])
    check_refusal(refused, 501, "NotImplemented")
    assert b"<Operation>Put" in refused.body
    after = place.ask(f"GET ?{name}")
    assert (after.status, after.code) == (before.status, before.code)
    assert place.ask("GET ?list-type=2").body.count(b"<Contents>") == 0


IN_FORCE = {
    "logging": b"<BucketLoggingStatus/>",
    "notification": b"<NotificationConfiguration/>",
    "requestPayment": b"<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>",
}


@pytest.mark.parametrize("name", IN_FORCE)
def test_rule_22_a_write_of_what_is_in_force_is_done(place, name):
    """Rule 22: tools switch off what is off; that is no feature (6.1, 6.4.4). A document of another kind is malformed."""
    assert place.ask(f"PUT ?{name}", IN_FORCE[name]).status == 200
    check_refusal(place.ask(f"PUT ?{name}", b"<a/>"), 400, "MalformedXML")
    check_refusal(place.ask(f"PUT ?{name}"), 400, "MissingRequestBodyError")


# --- access control lists ----------------------------------------------------------------------------------------


def policy(place, *, owner=None, permission="FULL_CONTROL") -> bytes:
    """Return the document that GetBucketAcl shows, with another grantee or permission where given."""
    shown = place.ask("GET ?acl").body.decode()
    real = shown.partition("<ID>")[2].partition("</ID>")[0]
    assert len(real) == 64
    head, _, grants = shown.partition("<AccessControlList>")
    grants = grants.replace(real, owner or real).replace("FULL_CONTROL", permission)
    return f"{head}<AccessControlList>{grants}".encode()


@pytest.mark.parametrize("line", ["?acl", "k?acl"])
def test_rule_22_the_owner_has_full_control(place, line):
    """Rule 22: a bucket whose owner enforces ownership shows one grant, and takes back what it shows or `private`; every
    other list is refused: an object that looks public and is not, or the reverse, is what ACLs are feared for (4.18.1, 4.18.3).
    """
    place.ask("PUT k", b"x")
    shown = place.ask(f"GET {line}")
    assert shown.status == 200
    root = ET.fromstring(shown.body)
    (grantee,) = root.iter(f"{NAMESPACE}Grantee")
    assert grantee.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "CanonicalUser"
    owner = root.findtext(f"{NAMESPACE}Owner/{NAMESPACE}ID")
    assert grantee.findtext(f"{NAMESPACE}ID") == owner
    assert [node.text for node in root.iter(f"{NAMESPACE}Permission")] == ["FULL_CONTROL"]
    assert place.ask(f"PUT {line}", policy(place)).status == 200
    assert place.ask(f"PUT {line}", b"", ("x-amz-acl", "private")).status == 200
    refused = {
        "public": (b"", (("x-amz-acl", "public-read"),), "AccessControlListNotSupported"),
        "unknown": (b"", (("x-amz-acl", "open"),), "InvalidArgument"),
        "grant": (b"", (("x-amz-grant-read", 'id="x"'),), "AccessControlListNotSupported"),
        "nothing": (b"", (), "MissingSecurityHeader"),
        "both": (policy(place), (("x-amz-acl", "private"),), "UnexpectedContent"),
        "another": (policy(place, owner="0" * 64), (), "AccessControlListNotSupported"),
        "less": (policy(place, permission="READ"), (), "AccessControlListNotSupported"),
        "odd": (policy(place, permission="ALL"), (), "MalformedACLError"),
        "other": (b"<a/>", (), "MalformedACLError"),
        "no xml": (b"<a", (), "MalformedXML"),
    }
    for label, (body, headers, code) in refused.items():
        check_refusal(place.ask(f"PUT {line}", body, *headers), 400, code, label=label)
    assert place.ask(f"GET {line}").body == shown.body
    assert place.ask("GET k").body == b"x"


def test_rule_22_the_list_of_an_object_needs_the_object(place):
    """Rule 22: no list of what is not there; a version is named, a delete marker has none (4.15.5); a current one is NoSuchKey
    for the read and MethodNotAllowed for the write (4.15.8).
    """
    for line, body in (("GET k?acl", b""), ("PUT k?acl", policy(place))):
        check_refusal(place.ask(line, body), 404, "NoSuchKey")
    place.version("Enabled")
    version = place.ask("PUT k", b"1").headers["x-amz-version-id"]
    marker = place.ask("DELETE k").headers["x-amz-version-id"]
    for line, body in (("GET k?acl", b""), ("PUT k?acl", policy(place))):
        answer = place.ask(f"{line}&versionId={version}", body)
        assert (answer.status, answer.headers["x-amz-version-id"]) == (200, version)
        check_refusal(place.ask(f"{line}&versionId={marker}", body), 405, "MethodNotAllowed")
    hidden = place.ask("GET k?acl")
    check_refusal(hidden, 404, "NoSuchKey")
    assert hidden.headers["x-amz-delete-marker"] == "true"
    check_refusal(place.ask("PUT k?acl", policy(place)), 405, "MethodNotAllowed")


@pytest.mark.parametrize("name", ["retention", "legal-hold"])
def test_rule_22_locks_of_objects_need_a_bucket_with_locks(place, name):
    """Rule 22: 400 InvalidRequest for reads and writes, never a lock that does not hold (4.16.5)."""
    place.ask("PUT k", b"x")
    for line, body in ((f"GET k?{name}", b""), (f"PUT k?{name}", b"<a/>")):
        answer = place.ask(line, body)
        check_refusal(answer, 400, "InvalidRequest")
        assert b"Bucket is missing Object Lock Configuration" in answer.body
    assert place.ask("DELETE k").status == 204


def boto_reads() -> dict[str, dict[str, str]]:
    """Return every parameterless read of a bucket's settings that boto3 knows, with what is missing of its parameters."""
    client = boto3.client("s3", region_name="us-east-1")
    found = {}
    for method, name in client.meta.method_to_api_mapping.items():
        if not method.startswith(("get_bucket", "get_public", "list_bucket_", "get_object_lock")):
            continue
        shape = client.meta.service_model.operation_model(name).input_shape
        found[method] = {member: "x" for member in shape.required_members if member != "Bucket"}
    return found


BUILT_LATER = {"get_bucket_abac"} | {
    "get_bucket_metadata_configuration",
    "get_bucket_metadata_table_configuration",
}


@pytest.mark.parametrize("method", sorted(boto_reads()))
def test_rule_22_boto3_reads_every_setting(server, bucket, method):
    """Rule 22, as tools do it: every read of a setting that boto3 offers comes back parsed, or as an error whose code says
    what is missing. What has no known answer in S3 is 501.
    """
    client = boto3.client(
        "s3", **server.client_arguments(), config=Config(signature_version="s3v4")
    )
    try:
        answer = getattr(client, method)(Bucket=bucket, **boto_reads()[method])
    except ClientError as error:
        answer = error.response
    got = answer["ResponseMetadata"]["HTTPStatusCode"], answer.get("Error", {}).get("Code")
    if method in BUILT_LATER:
        assert got == (501, "NotImplemented")
    else:
        assert got in {(200, None), *UNSET.values()}


def test_rule_22_boto3_reads_who_may(s3, bucket):
    """Rule 22: the grants and the status of the policy, as a client sees them."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for answer in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        (grant,) = answer["Grants"]
        assert grant["Permission"] == "FULL_CONTROL"
        assert grant["Grantee"] == {"ID": answer["Owner"]["ID"], "Type": "CanonicalUser"}
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert s3.list_bucket_metrics_configurations(Bucket=bucket)["IsTruncated"] is False
    assert s3.put_bucket_acl(Bucket=bucket, ACL="private")
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")


# --- browsers ----------------------------------------------------------------------------------------------------

ORIGIN = ("origin", "https://example.com")
WANTED = ("access-control-request-method", "PUT")
PREFLIGHTS = {
    "complete": ((ORIGIN, WANTED), 403, "AccessForbidden", b"CORS is not enabled for this bucket."),
    "no method": ((ORIGIN,), 400, "BadRequest", b"Access-Control-Request-Method"),
    "no origin": ((WANTED,), 400, "BadRequest", b"Origin request header needed"),
    "nothing": ((), 400, "BadRequest", b"Origin request header needed"),
}


@pytest.mark.parametrize("label", PREFLIGHTS)
@pytest.mark.parametrize(
    "where", ["/B", "/B/k", "/B/absent", "/no-such-bucket", "/no-such-bucket/k"]
)
def test_rule_25_a_preflight_without_rules(place, where, label):
    """Rule 25: nobody signs a preflight; without Origin it is no question, whatever the bucket; without rules, or without a
    bucket, nothing is allowed (6.5.2). The answer has no CORS header.
    """
    headers, status, code, text = PREFLIGHTS[label]
    path = where.replace("B", place.bucket) if where.startswith("/B") else where
    answer = place.client.send(RawCall("OPTIONS", path, (), headers))
    check_refusal(answer, status, code)
    if status == 403:
        text = text if where.startswith("/B") else b"Bucket not found"
        assert b"<Method>PUT</Method><ResourceType>BUCKET</ResourceType>" in answer.body
    assert text in answer.body
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_rule_25_a_preflight_of_a_presigned_link_is_not_judged_by_its_signature(place):
    """Rule 25: a browser asks with the query of the request that shall follow, whose signature is for another method."""
    link = place.client.presigned(place.call("PUT k"))
    call = RawCall("OPTIONS", link.path, link.query, (ORIGIN, WANTED))
    check_refusal(place.client.send(call), 403, "AccessForbidden")
    bad = tuple((n, "x" if n == "X-Amz-Date" else v) for n, v in link.query)
    check_refusal(
        place.client.send(RawCall("OPTIONS", link.path, bad, (ORIGIN, WANTED))),
        403,
        "AccessForbidden",
    )

"""Users other than root: each owns what it creates and is denied everything else; root sees all (s3 rules 2 and 7.4).

The requests come from the operations table, so that an operation is covered on the day it is added.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from objstore.s3.operation import Access, Scope
from objstore.s3.operations import OPERATIONS
from objstore.testing import S3Server
from objstore.testing.raw_client import RawCall, RawClient
from objstore.testing.wire import check_refusal

CONFIG = """
[[users]]
name = "alice"
access_key = "alice-access-key"
secret_key = "alice-secret-key"

[[users]]
name = "bob"
access_key = "bob-access-key"
secret_key = "bob-secret-key"
"""
ROWS = [row for row in OPERATIONS if row.superseded_by is None and row.access is not Access.PUBLIC]


@pytest.fixture(scope="module")
def people():
    """Clients of root, alice and bob; alice and root each own a bucket with an object."""
    with S3Server(config=CONFIG) as server:
        root = RawClient.of(server)
        clients = {"root": root}
        for name in ("alice", "bob"):
            clients[name] = replace(
                root,
                access_key=f"{name}-access-key",
                secret_key=f"{name}-secret-key",
                _connection=None,
            )
        for name in ("alice", "root"):
            assert send(clients[name], "PUT", f"/of-{name}").status == 200
            assert send(clients[name], "PUT", f"/of-{name}/k", b"precious").status == 200
        yield clients
        for client in clients.values():
            client.close()


def send(client: RawClient, method: str, path: str, body: bytes = b"", *headers):
    """Sign and send a call."""
    return client.send(client.signed(RawCall(method, path, (), headers, body)))


def call_of(row, bucket: str) -> RawCall:
    """Build the smallest request that resolves to a row."""
    path = {Scope.BUCKET: f"/{bucket}", Scope.OBJECT: f"/{bucket}/k"}[row.scope]
    query = [(name, "") for name in row.flags] + list(row.values)
    query += [(name, "1") for name in row.query]
    headers = [(name, f"/{bucket}/k") for name in row.headers]
    if row.content_type:
        headers.append(("content-type", f"{row.content_type}; boundary=x"))
    return RawCall(row.method, path, tuple(query), tuple(headers))


@pytest.mark.parametrize(("who", "whose"), [("bob", "alice"), ("bob", "root"), ("alice", "root")])
def test_nobody_touches_the_bucket_of_another(people, who, whose):
    """s3 rule 7.4: every operation on a bucket or an object, built or not, is denied; deny is the default."""
    client, bucket = people[who], f"of-{whose}"
    for row in ROWS:
        if row.scope is Scope.SERVICE or row.name == "CreateBucket":
            continue
        answer = client.send(client.signed(call_of(row, bucket)))
        code = "" if row.method == "HEAD" else "AccessDenied"
        check_refusal(answer, 403, code, label=f"{row.name} by {who}")
    assert send(people[whose], "GET", f"/{bucket}/k").body == b"precious"


def test_the_name_of_another_bucket_is_taken(people):
    """s3 rule 1.3.5: another's bucket is neither made again nor handed over."""
    for who, whose in (("bob", "alice"), ("alice", "root")):
        check_refusal(send(people[who], "PUT", f"/of-{whose}"), 409, "BucketAlreadyExists")


def test_everybody_lists_the_own_buckets(people):
    """s3 rule 5.6: names of other users' buckets are no business of anybody but root."""
    assert b"of-root" not in send(people["alice"], "GET", "/").body
    assert b"<Name>of-alice</Name>" in send(people["alice"], "GET", "/").body
    assert b"<Name>" not in send(people["bob"], "GET", "/").body


def test_an_owner_may_do_everything_in_the_own_bucket(people):
    """The twin of the matrix: the denials above are about the bucket, not about the user."""
    bob = people["bob"]
    assert send(bob, "PUT", "/of-bob").status == 200
    assert send(bob, "PUT", "/of-bob/k", b"mine").status == 200
    assert send(bob, "GET", "/of-bob/k").body == b"mine"
    assert b"<Key>k</Key>" in send(bob, "GET", "/of-bob").body
    assert send(people["root"], "GET", "/of-bob/k").body == b"mine", "root sees all"
    assert send(bob, "DELETE", "/of-bob/k").status == 204
    assert send(bob, "DELETE", "/of-bob").status == 204


def test_a_copy_reads_its_source_as_the_caller(people):
    """s3 rule 4.9.7: a copy is no way around the owner of the source."""
    alice = people["alice"]
    source = ("x-amz-copy-source", "/of-root/k")
    check_refusal(send(alice, "PUT", "/of-alice/stolen", b"", source), 403, "AccessDenied")
    assert send(alice, "GET", "/of-alice/stolen").status == 404
    copied = send(people["root"], "PUT", "/of-root/copy", b"", ("x-amz-copy-source", "/of-alice/k"))
    assert copied.status == 200


def test_a_key_does_not_open_for_another_secret(people):
    """s3 rule 2.2.15: one user's secret with another's key, and a key that differs in case."""
    mixed = replace(people["alice"], secret_key="bob-secret-key", _connection=None)
    check_refusal(send(mixed, "GET", "/of-alice/k"), 403, "SignatureDoesNotMatch")
    upper = replace(people["alice"], access_key="ALICE-ACCESS-KEY", _connection=None)
    check_refusal(send(upper, "GET", "/of-alice/k"), 403, "InvalidAccessKeyId")
    mixed.close()
    upper.close()

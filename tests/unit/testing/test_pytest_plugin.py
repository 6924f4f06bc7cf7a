"""The fixtures that users get by installing objstore."""

from __future__ import annotations

import boto3

from objstore.testing import pytest_plugin


def test_fixtures_are_what_the_plugin_offers():
    """Their names are in other people's tests."""
    assert sorted(pytest_plugin.__all__) == ["s3_bucket", "s3_server"]


def test_bucket_is_there_and_empty(s3_server, s3_bucket):
    """Each test has a bucket of its own, on one server for the session."""
    client = boto3.client("s3", **s3_server.client_arguments())
    try:
        assert client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0
        client.put_object(Bucket=s3_bucket, Key="k", Body=b"v")
        assert client.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"v"
    finally:
        client.close()


def test_next_test_has_another_bucket(s3_server, s3_bucket):
    """What an earlier test stored is not in it."""
    client = boto3.client("s3", **s3_server.client_arguments())
    try:
        assert client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0
        assert s3_bucket in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    finally:
        client.close()

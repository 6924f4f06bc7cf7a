"""minio-py: a library with its own signing, parsing and multipart code, over http and https."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.versioningconfig import VersioningConfig

pytestmark = pytest.mark.client

MIB = 1024 * 1024


@pytest.fixture
def pool(server):
    """Connections that trust the test authority; all closed afterwards."""
    trusted = {"ca_certs": str(server.tls.authority)} if server.tls else {}
    with urllib3.PoolManager(maxsize=10, **trusted) as manager:
        yield manager


@pytest.fixture
def minio(server, pool):
    """A client as its users make one."""
    return Minio(
        f"127.0.0.1:{server.port}",
        access_key=server.access_key,
        secret_key=server.secret_key,
        region=server.region,
        secure=server.tls is not None,
        http_client=pool,
    )


@pytest.fixture
def bucket(minio):
    """A fresh bucket, removed at the end, which fails unless the test emptied it."""
    name = f"minio-{uuid.uuid4().hex[:16]}"
    minio.make_bucket(name)
    yield name
    minio.remove_bucket(name)
    assert not minio.bucket_exists(name)


def read(minio, bucket: str, key: str, **more) -> bytes:
    """Return the bytes of an object and give the connection back."""
    answer = minio.get_object(bucket, key, **more)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def empty(minio, bucket: str) -> None:
    """Remove every version of everything."""
    found = list(minio.list_objects(bucket, recursive=True, include_version=True))
    doomed = [DeleteObject(entry.object_name, entry.version_id) for entry in found]
    assert list(minio.remove_objects(bucket, doomed)) == []
    assert list(minio.list_objects(bucket, recursive=True, include_version=True)) == []


def test_objects_small_and_large(minio, bucket, pattern, tmp_path):
    """Put and fput, sized and unsized, get whole and in part, stat, list; bytes compared."""
    small, large = pattern(1000), pattern(23 * MIB + 1)
    minio.put_object(bucket, "small", io.BytesIO(small), 1000, "text/x", {"colour": "blue"})
    minio.put_object(bucket, "unsized", io.BytesIO(large), -1, part_size=5 * MIB)
    (tmp_path / "up").write_bytes(large)
    minio.fput_object(bucket, "folder/large", tmp_path / "up", part_size=5 * MIB)
    assert read(minio, bucket, "small") == small
    assert read(minio, bucket, "unsized") == large
    assert (
        read(minio, bucket, "unsized", offset=7 * MIB, length=100) == large[7 * MIB : 7 * MIB + 100]
    )
    minio.fget_object(bucket, "folder/large", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == large
    stat = minio.stat_object(bucket, "small")
    assert (stat.size, stat.content_type) == (1000, "text/x")
    assert stat.metadata["x-amz-meta-colour"] == "blue"
    assert {entry.object_name for entry in minio.list_objects(bucket)} == {
        "folder/",
        "small",
        "unsized",
    }
    every = [entry.object_name for entry in minio.list_objects(bucket, recursive=True)]
    assert every == ["folder/large", "small", "unsized"]
    after = minio.list_objects(bucket, recursive=True, start_after="folder/large", prefix="")
    assert [entry.object_name for entry in after] == ["small", "unsized"]
    with pytest.raises(S3Error) as excinfo:
        minio.stat_object(bucket, "absent")
    assert excinfo.value.code == "NoSuchKey"
    empty(minio, bucket)


def test_copies_and_compositions(minio, bucket, pattern):
    """Copy with new metadata; compose an object from parts of others without sending a byte."""
    one, two = pattern(6 * MIB, seed=1), pattern(5 * MIB + 9, seed=2)
    minio.put_object(bucket, "one", io.BytesIO(one), len(one))
    minio.put_object(bucket, "two", io.BytesIO(two), len(two))
    minio.copy_object(
        bucket, "copy", CopySource(bucket, "one"), metadata={"a": "b"}, metadata_directive="REPLACE"
    )
    assert read(minio, bucket, "copy") == one
    assert minio.stat_object(bucket, "copy").metadata["x-amz-meta-a"] == "b"
    sources = [
        ComposeSource(bucket, "one"),
        ComposeSource(bucket, "two", offset=0, length=5 * MIB),
        ComposeSource(bucket, "two", offset=5 * MIB, length=9),
    ]
    minio.compose_object(bucket, "sum", sources)
    assert read(minio, bucket, "sum") == one + two
    empty(minio, bucket)


def test_tags(minio, bucket):
    """Tags of objects and of the bucket are set, read and removed."""
    tags = Tags.new_object_tags()
    tags["Project"] = "a b/c"
    minio.put_object(bucket, "k", io.BytesIO(b"x"), 1, tags=tags)
    assert minio.get_object_tags(bucket, "k") == {"Project": "a b/c"}
    minio.delete_object_tags(bucket, "k")
    assert minio.get_object_tags(bucket, "k") is None
    minio.set_object_tags(bucket, "k", tags)
    assert minio.get_object_tags(bucket, "k") == {"Project": "a b/c"}
    empty(minio, bucket)


def test_versions(minio, bucket):
    """Older versions stay readable; a marker hides the key; removing it brings the key back."""
    minio.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    assert minio.get_bucket_versioning(bucket).status == ENABLED
    first = minio.put_object(bucket, "k", io.BytesIO(b"one"), 3).version_id
    minio.put_object(bucket, "k", io.BytesIO(b"two"), 3)
    minio.remove_object(bucket, "k")
    with pytest.raises(S3Error) as excinfo:
        read(minio, bucket, "k")
    assert excinfo.value.code == "NoSuchKey"
    assert read(minio, bucket, "k", version_id=first) == b"one"
    found = list(minio.list_objects(bucket, include_version=True))
    markers = [entry.version_id for entry in found if entry.is_delete_marker]
    assert (len(found), len(markers)) == (3, 1)
    minio.remove_object(bucket, "k", version_id=markers[0])
    assert read(minio, bucket, "k") == b"two"
    empty(minio, bucket)


def test_presigned_urls(minio, pool, bucket):
    """s3 rule 2.3: whoever has the URL may put or get that object, without keys."""
    put = minio.presigned_put_object(bucket, "a b\u00e9", expires=timedelta(minutes=1))
    assert pool.request("PUT", put, body=b"anyone").status == 200
    get = minio.presigned_get_object(
        bucket, "a b\u00e9", response_headers={"response-content-type": "x/y"}
    )
    answer = pool.request("GET", get)
    assert (answer.status, answer.data, answer.headers["content-type"]) == (200, b"anyone", "x/y")
    assert pool.request("PUT", get, body=b"no").status == 403
    assert read(minio, bucket, "a b\u00e9") == b"anyone"
    empty(minio, bucket)

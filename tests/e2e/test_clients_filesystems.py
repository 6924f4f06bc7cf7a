"""Python libraries that show a bucket as a file system, each with an HTTP stack of its own.

Their programs run in the clients environment: they pin packages that differ from ours.
"""

from __future__ import annotations

import uuid

import pytest

pytestmark = pytest.mark.client


@pytest.mark.parametrize("name", ["s3fs", "pyarrow"])
def test_a_file_system_with_buckets_of_its_own(shell, name):
    """The stacks of aiobotocore and of the C++ SDK: make a bucket, work in it with bytes compared, leave nothing behind."""
    bucket = f"fs-{uuid.uuid4().hex[:16]}"
    shell.run_program(name, bucket)


def test_the_object_store_of_rust(shell, s3, bucket):
    """obstore: ranges, multipart, conditional puts and listings in a bucket that exists."""
    shell.run_program("obstore", bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)

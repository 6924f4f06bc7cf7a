"""`objstore-node bench` against a running server, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

import boto3
import pytest
from botocore.config import Config

from objstore.server.bench.cases import CASES
from objstore.testing import S3Server


def bench(server: S3Server, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command against a server, its keys in the environment unless others are given."""
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    command = [sys.executable, "-m", "objstore.server.main", "bench"]
    command += ["--endpoint", server.endpoint_url, *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **keys, **environ},
        timeout=100,
    )


def trust(server: S3Server) -> tuple[str, ...]:
    """Options that make a private authority trusted."""
    return () if server.tls is None else ("--ca-file", str(server.tls.authority))


def client(server: S3Server):
    """A boto3 client."""
    config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    return boto3.client("s3", **server.client_arguments(), config=config)


def names(s3) -> list[str]:
    """Names of all buckets."""
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_every_case_measures_and_nothing_is_left(server, tmp_path) -> None:
    """A benchmark that leaves gigabytes behind is used once."""
    s3 = client(server)
    before = names(s3)
    out = tmp_path / "run.jsonl"
    done = bench(
        server,
        *("--case", ",".join(CASES), "--size", "4KiB,6MiB", "--concurrency", "4"),
        *("--duration", "1s", "--requests", "20", "--keys", "30", "--json", str(out)),
        *trust(server),
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["case"] for row in rows} == set(CASES)
    for row in rows:
        assert row["errors"] == 0, row
        assert 0 < row["requests"] <= 20
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["requests_per_s"] > 0
        assert row["machine"]["cores"] >= 1
        assert row["version"]
    moving = {row["case"] for row in rows if row["mb_per_s"] > 0}
    assert moving == {"put", "get", "range", "mixed", "multipart"}
    assert "requests/s" in done.stdout
    assert names(s3) == before


def test_a_given_bucket_keeps_what_is_not_ours(plain_server) -> None:
    """Whoever names a bucket of theirs trusts us with it; several processes tidy up just as well."""
    s3 = client(plain_server)
    s3.create_bucket(Bucket="bench-given")
    s3.put_object(Bucket="bench-given", Key="objstore-bench/mine", Body=b"x")
    done = bench(
        plain_server,
        *("--bucket", "bench-given", "--case", "put,delete,mixed", "--size", "1KiB"),
        *("--concurrency", "3", "--processes", "2", "--duration", "500ms", "--keys", "10"),
    )
    assert done.returncode == 0, done.stderr
    listed = s3.list_objects_v2(Bucket="bench-given")["Contents"]
    assert [found["Key"] for found in listed] == ["objstore-bench/mine"]


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        ((), {"AWS_SECRET_ACCESS_KEY": "wrong"}, ("SignatureDoesNotMatch", "check --secret-key")),
        ((), {"AWS_ACCESS_KEY_ID": "nobody"}, ("InvalidAccessKeyId", "check --access-key")),
        (("--endpoint", "http://127.0.0.1:1"), {}, ("does not answer", "start the server")),
        (("--endpoint", "localhost:9000"), {}, ("not an endpoint", "write scheme and host")),
        (("--access-key", ""), {}, ("asks for a key pair", "AWS_ACCESS_KEY_ID")),
        (("--case", "fly"), {}, ("'fly' is no case", "multipart")),
        (("--case", "multipart", "--size", "1KiB"), {}, ("nothing to measure", "5MiB")),
    ],
)
def test_what_can_be_corrected_is_told_with_a_next_step(
    plain_server, arguments, environ, told
) -> None:
    """A traceback, or a table full of errors, tells nobody that the key is wrong."""
    done = bench(plain_server, *arguments, **environ)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in told:
        assert part in done.stderr


def test_a_private_authority_is_asked_for(tls_files) -> None:
    """The system does not know it: the message has to name the option that helps."""
    with S3Server(tls=tls_files) as server:
        done = bench(server)
    assert done.returncode == 2
    assert "does not trust" in done.stderr
    assert "--ca-file" in done.stderr


def test_without_an_endpoint_it_brings_its_own_server(tmp_path) -> None:
    """The first thing that anybody types."""
    command = [sys.executable, "-m", "objstore.server.main", "bench", "--data", str(tmp_path)]
    command += ["--case", "put,get", "--size", "4KiB", "--concurrency", "2", "--duration", "1s"]
    done = subprocess.run(
        [*command, "--json", "-"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["case"] for line in done.stdout.splitlines()] == ["put", "get"]
    assert "requests/s" in done.stderr
    assert list(tmp_path.iterdir()) == []

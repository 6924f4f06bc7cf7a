"""What is measured, where, and on what."""

from __future__ import annotations

import io
import json
from array import array
from pathlib import Path

import pytest

from objstore.model.limits import GIB, KIB, MIB
from objstore.server.bench import command, own_server
from objstore.server.bench.cases import CASES
from objstore.server.bench.figures import figures_of
from objstore.server.bench.load import LoadResult
from objstore.server.bench.machine import cpu_model, file_system
from objstore.server.bench.refusal import BenchRefused
from objstore.server.bench.screen import Recorder, Terminal, heading
from objstore.server.bench.session import Plan, default_keys, measurements
from objstore.server.bench.signer import Credentials
from objstore.server.bench.target import Target, parse_endpoint
from objstore.server.settings import Secret

TARGET = Target("::1", 9000, False, Credentials("key", Secret("secret"), "us-east-1"))


def plan(*cases: str, **changes) -> Plan:
    fields = {"sizes": (4 * KIB, 64 * MIB), "concurrencies": (1, 16), "duration_s": 5.0}
    return Plan(target=TARGET, cases=cases, run_id="id", **(fields | changes))


def test_sizes_count_where_they_matter() -> None:
    """HEAD of a large object is HEAD of a small one; multipart of 4 KiB is none."""
    rows = [row.title for row in measurements(plan("multipart", "put", "head"))]
    assert rows == [
        "put 4KiB, 1 client",
        "put 4KiB, 16 clients",
        "put 64MiB, 1 client",
        "put 64MiB, 16 clients",
        "head, 1 client",
        "head, 16 clients",
        "multipart 64MiB, 1 client",
        "multipart 64MiB, 16 clients",
    ]


@pytest.mark.parametrize(
    ("size", "count"), [(0, 1_000), (4 * KIB, 1_000), (1 * MIB, 256), (64 * MIB, 4), (GIB, 4)]
)
def test_preparation_is_bounded(size, count) -> None:
    """Preparing must not take longer than measuring."""
    assert default_keys(CASES["get"], size) == count


def test_command_and_table_name_the_same_cases() -> None:
    """The command knows the names without loading the cases; they must not drift apart."""
    assert tuple(CASES) == command._CASES
    assert all(name in command._HELP for name in CASES)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:9000", ("127.0.0.1", 9000, False)),
        ("https://s3.example.com/", ("s3.example.com", 443, True)),
        ("http://[::1]:9000", ("::1", 9000, False)),
    ],
)
def test_endpoints(url, found) -> None:
    """As SDKs take them."""
    assert parse_endpoint(url) == found


@pytest.mark.parametrize(
    "url", ["", "s3.example.com", "ftp://x", "http://", "http://x/bucket", "http://x:port"]
)
def test_what_is_no_endpoint_is_refused(url) -> None:
    """Above all a bucket in the path, which some tools want there."""
    with pytest.raises(BenchRefused, match="not an endpoint"):
        parse_endpoint(url)


def test_the_host_header_is_what_servers_verify() -> None:
    """The signature covers it: the usual port is left out, an address of version 6 stands in brackets."""
    assert TARGET.host_header == b"[::1]:9000"
    assert Target("h", 443, True, TARGET.credentials).host_header == b"h"
    assert Target("h", 80, True, TARGET.credentials).url == "https://h:80"


def test_a_file_that_holds_no_certificate_is_refused(tmp_path) -> None:
    """With the option's name, before anything is sent."""
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    with pytest.raises(BenchRefused, match=r"ca\.pem"):
        Target("h", 443, True, TARGET.credentials, file).tls_context()


def test_secrets_do_not_show() -> None:
    """A plan may end up in a traceback."""
    assert "secret" not in repr(plan("put")).replace("secret_key", "")


def test_figures_are_written_as_they_come() -> None:
    """An interrupted run keeps what it has measured."""
    file = io.StringIO()
    recorder = Recorder(file, plan("put"), data=Path("/"))
    screen = Terminal(io.StringIO(), recorder)
    assert screen.progress("x", 5) is None  # no terminal: no moving line
    result = LoadResult(array("d", [0.5]), elapsed_s=1.0)
    row = figures_of(result, case="put", size_bytes=KIB, concurrency=1, processes=1)
    screen.finished(row)
    line = json.loads(file.getvalue())
    assert (line["case"], line["requests_per_s"], line["endpoint"]) == ("put", 1.0, "own")
    assert {"cpu", "cores", "kernel", "python", "data_on"} == set(line["machine"])
    assert recorder.rows == [row]


def test_the_heading_says_how_long_it_takes() -> None:
    """Nobody waits for an unknown time."""
    text = heading(plan("put"))
    assert "4 measurements, at most 20 s" in text
    assert "http://[::1]:9000" in text


def test_memory_is_not_taken_for_a_drive(tmp_path) -> None:
    """Figures of a tmpfs look like those of a very good drive."""
    mounts = tmp_path / "mounts"
    inner = tmp_path / "inner"
    inner.mkdir()
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nnone {inner} tmpfs rw 0 0\n")
    assert file_system(inner / "x", mounts) == "tmpfs"
    assert file_system(tmp_path, mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "missing") == ""


def test_a_machine_without_a_name_has_one(tmp_path) -> None:
    """ARM kernels tell no model name."""
    assert cpu_model(tmp_path / "missing")
    named = tmp_path / "cpuinfo"
    named.write_text("processor : 0\nmodel name\t: Fast 9000\n")
    assert cpu_model(named) == "Fast 9000"


def test_own_server_that_does_not_start_tells_why(tmp_path) -> None:
    """Its log goes with its directory; what it said must not."""
    with (
        pytest.raises(BenchRefused, match="no-such-option"),
        own_server.own_server(tmp_path, arguments=("--no-such-option",)),
    ):
        pytest.fail("it cannot have started")
    assert list(tmp_path.iterdir()) == []

"""Python libraries of data people, each a day's work in a program of its own, over http and https.

Their stacks differ: aiohttp (aiobotocore, aioboto3, s3fs and what builds on it), urllib3 (smart_open), Rust's object_store
(polars, deltalake, obstore), the C++ SDK (pyarrow), a client of its own (DuckDB). The programs compare what they read with
what they wrote.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.client

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(shell):
    """Run a program of tests/clients/programs in an environment of Python clients."""

    def call(program: str, *arguments: str, home: str = "clients") -> None:
        # polars, deltalake and pyarrow trust what this names; the others read AWS_CA_BUNDLE.
        trusted = {"SSL_CERT_FILE": shell.authority} if shell.secure else {}
        python = ROOT / f".venv-{home}" / "bin" / "python"
        shell.run_program(program, *arguments, python=str(python), **trusted)

    return call


def test_aiobotocore_calls_at_once(run, bucket):
    """Hundreds of calls in flight on one loop, parts out of order, streams; of 30 creators one wins (s3 rule 4.5.4)."""
    run("aiobotocore", bucket)


def test_aioboto3_transfers(run, name):
    """The transfer calls that aioboto3 wrote anew, and resources with pages and bulk deletes."""
    run("aioboto3", name, home="clients-aioboto3")


def test_smart_open_streams_of_unknown_length(run, bucket):
    """Parts sent while the file grows, reads at places, and an abort that leaves no upload."""
    run("smart_open", bucket)


def test_fsspec_with_all_settings_named(run, name):
    """Trees, maps, transactions, appends and exclusive creation with `anon=False` and keys in the call."""
    run("fsspec", name)


def test_zarr_arrays(run, bucket):
    """Arrays in many small objects, sharded too, through fsspec and through obstore."""
    run("zarr", bucket)


def test_pyarrow_datasets(run, bucket):
    """Many files written at once, and partitions rewritten with listing and bulk deletes inside."""
    run("pyarrow_dataset", bucket)


def test_polars_frames(run, bucket):
    """Parquet, CSV and Arrow files streamed out in parts, and scanned by ranges, globs and partitions."""
    run("polars", bucket)


def test_duckdb_with_its_own_client(run, bucket):
    """The httpfs extension: parts, ranges, globs and partitions, in SQL."""
    run("duckdb_httpfs", bucket, home="clients-duckdb")


def test_duckdb_through_fsspec(run, bucket):
    """What a user does where the extension cannot be installed."""
    run("duckdb", bucket)


def test_delta_writers_race(run, bucket):
    """s3 rule 4.5.4: commits rest on If-None-Match alone; of two racing writers no commit is lost and none is torn."""
    run("deltalake", bucket)


@pytest.mark.parametrize("io", ["pyarrow.PyArrowFileIO", "fsspec.FsspecFileIO"])
def test_iceberg_tables(run, bucket, io):
    """Tables with snapshots; a writer with old metadata notices, tries again and loses nothing."""
    run("pyiceberg", bucket, f"pyiceberg.io.{io}")

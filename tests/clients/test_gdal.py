"""GDAL: rasters in a bucket, read in ranges and written in parts by its file system /vsis3/."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.client

SIDE = 1500


@pytest.fixture
def gdal(shell):
    """Run a program of GDAL with the server as its S3."""
    shell.need("gdal_translate")
    scheme, _, address = shell.server.endpoint_url.partition("://")
    settings = {
        "AWS_S3_ENDPOINT": address,
        "AWS_HTTPS": "YES" if scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "VSIS3_CHUNK_SIZE": "5",
        "GDAL_HTTP_MAX_RETRY": "0",
        "CPL_VSIL_USE_TEMP_FILE_FOR_RANDOM_WRITE": "YES",
    }
    if shell.secure:
        settings["CURL_CA_BUNDLE"] = shell.authority

    def run(*command: str) -> str:
        return shell.run(*command, **settings)

    return run


@pytest.fixture
def raster(shell, pattern):
    """A raw picture of bytes with the few lines that tell GDAL its shape."""
    (shell.folder / "raw.bil").write_bytes(pattern(SIDE * SIDE * 4))
    shape = ("NROWS", SIDE), ("NCOLS", SIDE), ("NBANDS", 4), ("NBITS", 8), ("LAYOUT", "BIL")
    (shell.folder / "raw.hdr").write_text("".join(f"{name} {value}\n" for name, value in shape))
    return "raw.bil"


def checksums(described: str) -> list[int]:
    """Return the sum of the pixels of each band, as gdalinfo computed it."""
    return [band["checksum"] for band in json.loads(described)["bands"]]


def test_rasters_in_a_bucket(gdal, shell, s3, made_bucket, raster):
    """A tiled picture of several parts is written to the bucket, read there by windows, copied back and removed."""
    place = f"/vsis3/{made_bucket}/maps/a b.tif"
    gdal("gdal_translate", "-q", "-co", "TILED=YES", raster, "here.tif")
    gdal("gdal_translate", "-q", "-co", "TILED=YES", raster, place)
    ours = (shell.folder / "here.tif").read_bytes()
    stored = s3.get_object(Bucket=made_bucket, Key="maps/a b.tif")
    assert stored["ETag"].endswith('-2"')
    assert stored["Body"].read() == ours
    told = checksums(gdal("gdalinfo", "-json", "-checksum", place))
    assert told == checksums(gdal("gdalinfo", "-json", "-checksum", raster))
    window = ("-srcwin", "700", "800", "300", "200", "-of", "ENVI", "-co", "INTERLEAVE=BSQ")
    gdal("gdal_translate", "-q", *window, place, "there.raw")
    gdal("gdal_translate", "-q", *window, raster, "expected.raw")
    assert (shell.folder / "there.raw").read_bytes() == (shell.folder / "expected.raw").read_bytes()
    gdal("gdalmanage", "delete", place)
    assert "Contents" not in s3.list_objects_v2(Bucket=made_bucket)

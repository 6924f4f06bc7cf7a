"""Records of format 1, as they lie in files that exist: they must decode for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from objstore.metadata import records
from objstore.metadata.commands import CompletedUpload, Deleted, Done, Written
from objstore.metadata.records import Finished, Refused
from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.names import DataId, DriveId, UploadId, VersionId
from objstore.model.objects import (
    Extent,
    ExtentBody,
    Misplaced,
    ObjectVersion,
    Part,
    PartRun,
    PartsBody,
    Scheme,
    SystemMetadata,
    Upload,
    Versioning,
)
from objstore.testing.catalog_kit import OWNER

SAMPLES = Path(__file__).parents[2] / "samples" / "catalog-1.json"
CHECKSUM = Checksum(ChecksumAlgorithm.SHA256, ChecksumType.COMPOSITE, bytes(32), 2)
EXTENT = Extent(
    DataId(bytes(range(16))), 3, 5_000_000, 1 << 20, Scheme(4, 2), 9,
    (Misplaced(0, 1, None), Misplaced(1, 5, DriveId("d2"))),
)  # fmt: skip
COMPLETED = CompletedUpload(
    "ab-2", 10, CHECKSUM, VersionId("v1"), 1_700_000_000_000, Versioning.ENABLED
)
EXAMPLES = {
    "version": (
        records.VERSION_CODEC,
        ObjectVersion(
            key="schlüssel".encode(),
            version_id=VersionId("v1"),
            last_modified=1_700_000_000_123,
            owner=OWNER,
            size=10,
            etag="ab-2",
            body=PartsBody(UploadId("u1"), (PartRun(1, 2, 5),)),
            checksum=CHECKSUM,
            system=SystemMetadata(content_type="text/plain", expires="never"),
            user=(("a", "b"),),
            tags=(("t", "ü"),),
            storage_class="STANDARD_IA",
            sequence=77,
        ),
    ),
    "upload": (
        records.UPLOAD_CODEC,
        Upload(
            UploadId("u1"), b"k", 1, OWNER, OWNER,
            checksum_algorithm=ChecksumAlgorithm.CRC32, checksum_type=ChecksumType.FULL_OBJECT,
        ),
    ),
    "part": (
        records.PART_CODEC,
        Part(3, 5_000_000, "cd", 2, ExtentBody(EXTENT), CHECKSUM, bytes(8)),
    ),
    "extent": (records.EXTENT_CODEC, EXTENT),
    "finished": (records.COMPLETED_CODEC, Finished(b"k", bytes(16), COMPLETED)),
    "results": (
        records.RESULTS_CODEC,
        (
            (bytes(16), Done()),
            (bytes(16), Written(VersionId("null"), 1, Versioning.UNSET, 2)),
            (bytes(16), Deleted(found=True, is_delete_marker=True, version_id=VersionId("v"))),
            (bytes(16), COMPLETED),
            (bytes(16), Refused("PreconditionFailed", "", {"condition": "If-Match"})),
        ),
    ),
}  # fmt: skip


def stored_samples():
    return msgspec.json.decode(SAMPLES.read_bytes())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_stored_record_still_decodes(name):
    """A field that was moved, retyped or inserted would silently change what old rows mean."""
    codec, record = EXAMPLES[name]
    assert codec.decode(bytes.fromhex(stored_samples()[name])) == record


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_record_survives_its_envelope(name):
    """What is written today is read as the same value."""
    codec, record = EXAMPLES[name]
    assert codec.decode(codec.encode(record)) == record

"""Every fixed limit of the store, with its unit and its reason.

What an operator may tune is a setting (`server/settings.py`); what S3 or a format fixes is a constant here.
"""

from __future__ import annotations

from typing import Final

from objstore.model.errors import check

__all__ = [
    "BODY_XML_BYTES_MAX",
    "BUCKETS_PER_PAGE_MAX",
    "BUCKET_TAGS_MAX",
    "CHUNK_HEADER_BYTES_MAX",
    "CLOCK_SKEW_MS_MAX",
    "COMPLETE_XML_BYTES_MAX",
    "COPY_SOURCE_BYTES_MAX",
    "DELETE_KEYS_MAX",
    "DELETE_XML_BYTES_MAX",
    "DONE_UPLOAD_KEPT_MS",
    "HEADER_SECTION_BYTES_MAX",
    "INLINE_BYTES_ALONE",
    "INLINE_BYTES_MAX",
    "INLINE_BYTES_REPLICATED",
    "KEY_BYTES_MAX",
    "LIST_KEYS_MAX",
    "OBJECT_TAGS_MAX",
    "PARTS_MAX",
    "PART_BYTES_MAX",
    "PART_BYTES_MIN",
    "PRESIGNED_EXPIRES_S_MAX",
    "REDIRECT_LOCATION_BYTES_MAX",
    "SINGLE_PUT_BYTES_MAX",
    "SLICE_ROWS_MAX",
    "TAG_KEY_UNITS_MAX",
    "TAG_VALUE_UNITS_MAX",
    "TRAILER_BYTES_MAX",
    "USER_METADATA_BYTES_MAX",
    "VERSION_ID_BYTES_MAX",
    "XML_DEPTH_MAX",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

KEY_BYTES_MAX: Final = 1024
"""Of a key, decoded, in UTF-8; S3 rule 1.2.6."""
VERSION_ID_BYTES_MAX: Final = 1024
"""Of a version id that a client names; S3 rule 4.15.2."""
HEADER_SECTION_BYTES_MAX: Final = 8 * KIB
"""Of all header lines of a request, request line excluded; S3 rule 1.6.6."""
USER_METADATA_BYTES_MAX: Final = 2 * KIB
"""Of `x-amz-meta-*`: names without prefix plus values, in UTF-8; S3 rule 4.6.2."""
REDIRECT_LOCATION_BYTES_MAX: Final = 2 * KIB
"""Of `x-amz-website-redirect-location`; S3 rule 4.7."""

BODY_XML_BYTES_MAX: Final = 1 * MIB
"""Of a document in a request; S3 rule 1.6.4."""
DELETE_XML_BYTES_MAX: Final = 2 * MIB
"""Of the document of DeleteObjects; S3 rule 1.6.4."""
COMPLETE_XML_BYTES_MAX: Final = 4 * MIB
"""Of the document of CompleteMultipartUpload: 10,000 parts with a checksum each take about 2.5 MiB when a client indents them."""
XML_DEPTH_MAX: Final = 16
"""Elements inside each other in a document."""

CHUNK_HEADER_BYTES_MAX: Final = 1 * KIB
"""Of the line before a chunk of an aws-chunked body; S3 rule 2.4.8."""
TRAILER_BYTES_MAX: Final = 16 * KIB
"""Of the trailer of an aws-chunked body; S3 rule 2.4.8."""

SINGLE_PUT_BYTES_MAX: Final = 5 * GIB
"""Of an object that is stored with one request; S3 rule 1.6.3."""
PART_BYTES_MAX: Final = 5 * GIB
"""Of one part of an upload; S3 rule 1.6.3."""
PART_BYTES_MIN: Final = 5 * MIB
"""Of every part but the last, checked at Complete; S3 rule 4.11.4."""
COPY_SOURCE_BYTES_MAX: Final = 5 * GIB
"""Of an object that CopyObject copies; larger ones are copied in parts; S3 rule 1.6.3."""
PARTS_MAX: Final = 10_000
"""Parts of an upload; their numbers go from 1 to this; S3 rule 4.11.3."""

LIST_KEYS_MAX: Final = 1_000
"""Entries on a page of a listing of objects, versions, uploads or parts; S3 rule 5.1.6."""
BUCKETS_PER_PAGE_MAX: Final = 10_000
"""Buckets on a page of ListBuckets; S3 rule 5.6.2."""
DELETE_KEYS_MAX: Final = 1_000
"""Keys in one DeleteObjects; S3 rule 4.14.3."""
OBJECT_TAGS_MAX: Final = 10
"""Tags of an object; S3 rule 4.8.1."""
BUCKET_TAGS_MAX: Final = 50
"""Tags of a bucket; S3 rule 4.8.1."""
TAG_KEY_UNITS_MAX: Final = 128
"""Of the key of a tag, in UTF-16 code units, as S3 counts; S3 rule 4.8.1."""
TAG_VALUE_UNITS_MAX: Final = 256
"""Of the value of a tag, in UTF-16 code units; S3 rule 4.8.1."""

CLOCK_SKEW_MS_MAX: Final = 15 * 60 * 1000
"""Between the clock of a client and ours, either way; S3 rule 2.2.11."""
PRESIGNED_EXPIRES_S_MAX: Final = 7 * 24 * 3600
"""From the signature of a presigned URL to its end; S3 rule 2.3.3."""

INLINE_BYTES_ALONE: Final = 128 * KIB
"""Of an object that is stored beside its row in a catalogue of one file, unless `inline_limit_bytes` says otherwise."""
INLINE_BYTES_REPLICATED: Final = 16 * KIB
"""The same where the catalogue is replicated, three directories and more: the bytes go through the log to every replica."""
INLINE_BYTES_MAX: Final = 128 * KIB
"""The most that setting may say: inline bytes travel through the log to every replica."""
SLICE_ROWS_MAX: Final = 2_000
"""Rows that one read transaction may visit: a longer one would keep the WAL from being reset."""
DONE_UPLOAD_KEPT_MS: Final = 7 * 24 * 3600 * 1000
"""How long a finished Complete answers its retries."""

check(
    INLINE_BYTES_REPLICATED <= INLINE_BYTES_ALONE <= INLINE_BYTES_MAX,
    "an inline size exceeds its limit",
)
check(LIST_KEYS_MAX < SLICE_ROWS_MAX, "one page of a listing must fit into one slice")
check(PART_BYTES_MIN < PART_BYTES_MAX <= SINGLE_PUT_BYTES_MAX, "part sizes are out of order")

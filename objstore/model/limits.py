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
    "COPY_SOURCE_BYTES_MAX",
    "DELETE_KEYS_MAX",
    "DELETE_XML_BYTES_MAX",
    "DONE_UPLOAD_KEPT_MS",
    "HEADER_SECTION_BYTES_MAX",
    "INLINE_BYTES_DEFAULT",
    "INLINE_BYTES_MAX",
    "KEY_BYTES_MAX",
    "LIST_KEYS_MAX",
    "OBJECT_TAGS_MAX",
    "PARTS_MAX",
    "PART_BYTES_MAX",
    "PART_BYTES_MIN",
    "POST_FIELDS_BYTES_MAX",
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
"""S3 rule 1.2.6."""
VERSION_ID_BYTES_MAX: Final = 1024
HEADER_SECTION_BYTES_MAX: Final = 8 * KIB
"""Request line excluded; S3 rule 1.6.6."""
USER_METADATA_BYTES_MAX: Final = 2 * KIB
"""Names without prefix plus values, in UTF-8; S3 rule 4.6.2."""
REDIRECT_LOCATION_BYTES_MAX: Final = 2 * KIB

BODY_XML_BYTES_MAX: Final = 1 * MIB
DELETE_XML_BYTES_MAX: Final = 2 * MIB
COMPLETE_XML_BYTES_MAX: Final = 4 * MIB
"""10,000 parts with a checksum each take about 2.5 MiB when a client indents them."""
XML_DEPTH_MAX: Final = 16
POST_FIELDS_BYTES_MAX: Final = 20 * KIB

CHUNK_HEADER_BYTES_MAX: Final = 1 * KIB
TRAILER_BYTES_MAX: Final = 16 * KIB

SINGLE_PUT_BYTES_MAX: Final = 5 * GIB
PART_BYTES_MAX: Final = 5 * GIB
PART_BYTES_MIN: Final = 5 * MIB
"""For every part but the last, checked at Complete; S3 rule 4.11.4."""
COPY_SOURCE_BYTES_MAX: Final = 5 * GIB
PARTS_MAX: Final = 10_000

LIST_KEYS_MAX: Final = 1_000
BUCKETS_PER_PAGE_MAX: Final = 10_000
DELETE_KEYS_MAX: Final = 1_000
OBJECT_TAGS_MAX: Final = 10
BUCKET_TAGS_MAX: Final = 50
TAG_KEY_UNITS_MAX: Final = 128
"""UTF-16 code units, as S3 counts."""
TAG_VALUE_UNITS_MAX: Final = 256

CLOCK_SKEW_MS_MAX: Final = 15 * 60 * 1000
PRESIGNED_EXPIRES_S_MAX: Final = 7 * 24 * 3600

INLINE_BYTES_DEFAULT: Final = 16 * KIB
INLINE_BYTES_MAX: Final = 128 * KIB
"""Inline bytes travel through the log to every replica."""
SLICE_ROWS_MAX: Final = 2_000
"""Rows that one read transaction may visit: a longer one would keep the WAL from being reset."""
DONE_UPLOAD_KEPT_MS: Final = 7 * 24 * 3600 * 1000
"""How long a finished Complete answers its retries."""

check(INLINE_BYTES_DEFAULT <= INLINE_BYTES_MAX, "the default inline size exceeds its own limit")
check(LIST_KEYS_MAX < SLICE_ROWS_MAX, "one page of a listing must fit into one slice")
check(PART_BYTES_MIN < PART_BYTES_MAX <= SINGLE_PUT_BYTES_MAX, "part sizes are out of order")

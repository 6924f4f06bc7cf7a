"""What a new object carries beside its bytes, from the headers of Put, Copy and Create (s3 rules 4.4 to 4.8)."""

from __future__ import annotations

from typing import Final

from objstore.model.errors import InvalidStorageClass
from objstore.model.objects import SystemMetadata, Tags, UserMetadata
from objstore.s3.inputs import NewObject
from objstore.s3.metadata import redirect_location, system_metadata, user_metadata
from objstore.s3.request import Headers
from objstore.s3.tagging import parse_tagging_header

__all__ = ["DEFAULT_STORAGE_CLASS", "new_object", "storage_class_of"]

DEFAULT_STORAGE_CLASS: Final = "STANDARD"

_STORAGE_CLASSES: Final = frozenset(
    {
        DEFAULT_STORAGE_CLASS,
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
    }
)
"""Kept as labels: one tier serves them all at once (s3 rule 4.7.2)."""


def new_object(
    headers: Headers, *, takes_metadata: bool = True, takes_tags: bool = True
) -> NewObject:
    """Read metadata, tags and storage class.

    A copy that keeps its source's metadata or tags does not look at those of the request (s3 rule 4.9.3); the
    redirect location always comes from the request (s3 rule 4.9.4).
    """
    system: SystemMetadata
    user: UserMetadata
    if takes_metadata:
        system, user = system_metadata(headers), user_metadata(headers)
    else:
        system, user = SystemMetadata(website_redirect_location=redirect_location(headers)), ()
    tags: Tags = ()
    if takes_tags and "x-amz-tagging" in headers:
        tags = parse_tagging_header(headers["x-amz-tagging"])
    return NewObject(system, user, tags, storage_class_of(headers))


def storage_class_of(headers: Headers) -> str:
    """Read `x-amz-storage-class`. Raises `InvalidStorageClass` for one that is unknown or cannot be honoured."""
    value = headers.get("x-amz-storage-class")
    if value is None:
        return DEFAULT_STORAGE_CLASS
    if value not in _STORAGE_CLASSES:
        raise InvalidStorageClass(storage_class_requested=value)
    return value

"""Which version a request sees, and which version id it is shown (s3 rule 4.15)."""

from __future__ import annotations

from objstore.metadata.catalog import VersionState
from objstore.model.errors import DeleteMarkerNotAllowed, NoSuchKey, NoSuchVersion
from objstore.model.names import ObjectKey, VersionId
from objstore.model.objects import ObjectVersion, Versioning

__all__ = ["key_text", "shown_id", "visible", "written_id"]


def key_text(key: ObjectKey) -> str:
    """Return a key as error documents show it."""
    return key.decode("utf-8")


def shown_id(versioning: Versioning, version_id: VersionId) -> VersionId | None:
    """Return the id that a read shows: none in a bucket that never had versioning (s3 rule 4.4.5)."""
    return None if versioning is Versioning.UNSET else version_id


def written_id(versioning: Versioning, version_id: VersionId) -> VersionId | None:
    """Return the id that a write shows: only where versioning is enabled (s3 rule 4.15.3)."""
    return version_id if versioning is Versioning.ENABLED else None


def visible(
    state: VersionState, key: ObjectKey, version_id: VersionId | None, *, method: str
) -> ObjectVersion:
    """Return the object that a request addresses.

    Raises `NoSuchKey`, `NoSuchVersion`, or `DeleteMarkerNotAllowed` for a marker named by its id (s3 rule 4.15.5).
    The detail of an error about a delete marker carries what the answer's headers show.
    """
    version = state.version
    if version is None:
        if version_id is None:
            raise NoSuchKey(key=key_text(key))
        raise NoSuchVersion(key=key_text(key), version_id=version_id)
    if not version.is_delete_marker:
        return version
    if version_id is None:
        raise NoSuchKey(key=key_text(key), header_delete_marker=version.version_id)
    raise DeleteMarkerNotAllowed(
        method=method,
        resource_type="DeleteMarker",
        header_delete_marker=version.version_id,
        header_last_modified=version.last_modified,
    )

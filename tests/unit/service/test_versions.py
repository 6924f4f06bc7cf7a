"""Which version a request sees and which id it is shown."""

from __future__ import annotations

import pytest

from objstore.metadata.catalog import VersionState
from objstore.model.errors import DeleteMarkerNotAllowed, NoSuchKey, NoSuchVersion
from objstore.model.instant import Instant
from objstore.model.names import CanonicalId, ObjectKey, VersionId
from objstore.model.objects import ObjectVersion, Versioning
from objstore.service.versions import key_text, shown_id, visible, written_id

KEY = ObjectKey("ключ".encode())
ID = VersionId("v1")


def version(*, is_marker=False):
    return ObjectVersion(KEY, ID, Instant(7), CanonicalId("o"), is_delete_marker=is_marker)


@pytest.mark.parametrize(
    ("state", "shown", "written"),
    [
        (Versioning.UNSET, None, None),
        (Versioning.ENABLED, ID, ID),
        (Versioning.SUSPENDED, ID, None),
    ],
)
def test_ids_are_shown_by_the_state_of_the_bucket(state, shown, written):
    """Reads show `null` in a suspended bucket, writes do not (s3 rules 4.4.5, 4.15.2, 4.15.3)."""
    assert shown_id(state, ID) == shown
    assert written_id(state, ID) == written


def test_object_is_seen_with_and_without_its_id():
    """The plain case."""
    state = VersionState(Versioning.ENABLED, version())
    assert visible(state, KEY, None, method="GET") is state.version
    assert visible(state, KEY, ID, method="GET") is state.version


def test_what_is_not_there_has_a_name():
    """A missing key and a missing version are different answers (s3 rule 4.15.6)."""
    state = VersionState(Versioning.ENABLED, None)
    with pytest.raises(NoSuchKey) as key_error:
        visible(state, KEY, None, method="GET")
    assert key_error.value.detail == {"key": "ключ"}
    with pytest.raises(NoSuchVersion) as version_error:
        visible(state, KEY, ID, method="GET")
    assert version_error.value.detail == {"key": "ключ", "version_id": ID}


def test_marker_hides_the_key_and_refuses_its_own_id():
    """404 with the marker's headers, or 405 (s3 rule 4.15.5)."""
    state = VersionState(Versioning.ENABLED, version(is_marker=True))
    with pytest.raises(NoSuchKey) as hidden:
        visible(state, KEY, None, method="GET")
    assert hidden.value.detail["header_delete_marker"] == ID
    with pytest.raises(DeleteMarkerNotAllowed) as named:
        visible(state, KEY, ID, method="HEAD")
    assert named.value.detail == {
        "method": "HEAD",
        "resource_type": "DeleteMarker",
        "header_delete_marker": ID,
        "header_last_modified": 7,
    }


def test_key_is_shown_as_text():
    """Error documents carry text."""
    assert key_text(KEY) == "ключ"

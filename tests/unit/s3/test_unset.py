"""The table of settings that the store does not keep."""

from __future__ import annotations

import pytest

from objstore.model.errors import InvariantError, NoSuchConfiguration, NoSuchCorsConfiguration
from objstore.s3.errors import ERROR_CODES
from objstore.s3.operation import Access, row
from objstore.s3.operations import OPERATIONS_BY_NAME, _wired
from objstore.s3.unset import DELETES_OF_NOTHING, EMPTY_DOCUMENTS, MISSING, UNSET_SETTINGS


def test_each_row_names_operations_of_one_setting() -> None:
    """A misspelt name would leave an operation at 501; a wrong pair would remove another setting."""
    for setting in UNSET_SETTINGS:
        get = OPERATIONS_BY_NAME[setting.get]
        assert get.method == "GET"
        if setting.delete is not None:
            delete = OPERATIONS_BY_NAME[setting.delete]
            assert (delete.method, delete.success_status) == ("DELETE", 204)
            assert (delete.flags, delete.query) == (get.flags, get.query)


def test_every_removal_of_a_setting_of_the_model_is_there() -> None:
    """All DELETEs of a bucket's settings but tags, which are kept, and metadata tables, whose code nobody knows (s3 rule 6.1)."""
    removals = {
        name
        for name, row in OPERATIONS_BY_NAME.items()
        if row.method == "DELETE" and row.scope.value == "BUCKET" and row.flags
    }
    assert removals - DELETES_OF_NOTHING == {
        "DeleteBucketTagging",
        "DeleteBucketMetadataConfiguration",
        "DeleteBucketMetadataTableConfiguration",
    }


def test_a_read_answers_a_document_or_a_refusal() -> None:
    """Never both, never neither; refusals are 404 with a code of their own (s3 rule 6.1.3)."""
    for setting in UNSET_SETTINGS:
        assert (setting.get in EMPTY_DOCUMENTS) != (setting.get in MISSING)
        assert bool(setting.root) == (setting.missing is None)
    assert {ERROR_CODES[kind].status for kind in MISSING.values()} == {404}
    assert MISSING["GetBucketCors"] is NoSuchCorsConfiguration
    assert "DeleteBucketCors" not in MISSING
    assert MISSING["DeleteBucketMetricsConfiguration"] is NoSuchConfiguration


def test_what_is_built_cannot_be_unset() -> None:
    """Who builds CORS must take it from the table, or the rules would be stored and never shown."""
    built = row(
        "GetBucketCors", "GET /B?cors", "s3:GetBucketCORS", Access.OWNER, handler="get_bucket_cors"
    )
    with pytest.raises(InvariantError, match="GetBucketCors"):
        _wired(built)

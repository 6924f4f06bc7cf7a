"""The tables that everything else is made from are complete."""

from __future__ import annotations

from objstore.model import errors
from objstore.s3.errors import ERROR_CODES
from objstore.s3.operations import OPERATIONS, check_table
from objstore.server.settings import setting_rows
from objstore.server.settings_page import settings_page


def test_every_error_leaf_has_its_row() -> None:
    """An unmapped error reaches the client as its family's catch-all and hides what to do."""
    unmapped = [
        kind.__name__
        for kind in errors.error_leaves()
        if kind not in ERROR_CODES and kind.__module__ == errors.__name__
    ]
    assert not unmapped


def test_every_operation_row_is_complete() -> None:
    """A row without an action or with the key of another one would decide by accident."""
    assert check_table(OPERATIONS) == []
    assert all(operation.action and operation.access for operation in OPERATIONS)


def test_settings_page_is_what_the_table_says(root) -> None:
    """Whoever runs the server reads the page, not the code: `make docs` writes it."""
    page = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page()
    assert all(f"`{row.name}`" in page for row in setting_rows())

"""The tables that everything else is made from are complete."""

from __future__ import annotations

from objstore.model import errors, limits
from objstore.s3.errors import ERROR_CODES
from objstore.s3.operations import OPERATIONS, check_table
from objstore.server.limits_page import kept_part, limits_page
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


def test_limits_page_is_what_the_constants_say(root) -> None:
    """Whoever plans a system reads the page: `make docs` writes it from the constants and keeps the measured part."""
    page = (root / "docs" / "limits.md").read_text(encoding="utf-8")
    assert page == limits_page(kept_part(page))
    assert "| `PART_BYTES_MIN` | 5 MiB |" in page
    assert "| `CLOCK_SKEW_MS_MAX` | 15 minutes |" in page
    assert "| `PARTS_MAX` | 10,000 |" in page


def test_every_limit_is_applied(sources) -> None:
    """A limit that nothing reads is a promise that nobody keeps."""
    readers = "\n".join(
        source.text
        for source in sources
        if source.path.startswith("objstore/") and not source.path.endswith("model/limits.py")
    )
    assert [name for name in limits.__all__ if name not in readers] == []

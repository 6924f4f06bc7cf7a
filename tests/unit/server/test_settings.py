"""The table of settings: one name everywhere, all of it documented, secrets that hide."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from objstore.server.settings import Kind, Secret, Settings, build_settings, setting_rows
from objstore.server.settings_page import settings_page

ROOT = Path(__file__).parents[3]


def test_every_setting_says_what_it_means() -> None:
    """A setting without a meaning cannot be used safely; the rows are what help and documentation show."""
    assert all(row.meaning.endswith((".", "only.")) for row in setting_rows())
    assert len({row.name for row in setting_rows()}) == len(setting_rows())


def test_numbers_carry_their_unit_in_the_name() -> None:
    """`timeout = 5` is a bug that waits: the reader cannot know of what."""
    suffixes = {Kind.BYTES: "_bytes", Kind.SECONDS: "_s"}
    for row in setting_rows():
        if row.kind in suffixes:
            assert row.name.endswith(suffixes[row.kind]), row.name


def test_documentation_lists_each_setting() -> None:
    """An undocumented setting is found only by whoever wrote it."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text == settings_page(), "docs/settings.md is out of date: run `make docs`"
    for row in setting_rows():
        assert f"`{row.name}`" in text, f"{row.name}: run `make docs`"
        assert not row.env or f"`{row.env}`" in text, f"{row.env}: run `make docs`"


def test_secret_never_shows_itself() -> None:
    """Settings end up in logs, tracebacks and bug reports."""
    secret = Secret("hunter2hunter2")
    settings = build_settings({"root_access_key": "root", "root_secret_key": secret})
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        repr(settings),
        str(dataclasses.asdict(settings)),
    ):
        assert "hunter2" not in text
    assert secret.reveal() == "hunter2hunter2"


def test_values_land_in_their_group_and_the_rest_keeps_its_default() -> None:
    """Components receive their own part only, so a value in the wrong part would be lost."""
    settings = build_settings({"region": "eu-west-1", "dev": True})
    assert settings.s3.region == "eu-west-1"
    assert settings.dev
    assert settings.listen == Settings().listen


@pytest.mark.parametrize(
    ("directories", "said", "wanted"),
    [(1, None, 131_072), (2, None, 131_072), (3, None, 16_384), (6, 0, 0), (1, 4_096, 4_096)],
)
def test_the_inline_limit_follows_the_directories_unless_it_is_said(
    directories, said, wanted
) -> None:
    """What is inline goes through the log to every replica, where there are some."""
    dirs = tuple(Path(f"d{number}") for number in range(directories))
    settings = build_settings({"dirs": dirs, "inline_limit_bytes": said})
    assert settings.storage.inline_bytes_max == wanted

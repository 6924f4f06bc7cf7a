"""Root keys: made once, kept safe, overridden without a trace."""

from __future__ import annotations

import re
import stat

import pytest

from objstore.server.keys import ROOT_KEYS_FILE, KeyOrigin, find_root_keys
from objstore.server.refusal import StartRefused
from objstore.server.settings import AccessSettings, Secret

NONE_GIVEN = AccessSettings()
GIVEN = AccessSettings(root_access_key="GIVEN", root_secret_key=Secret("given-secret"))


def test_first_start_makes_a_pair_and_every_later_start_finds_it(tmp_path) -> None:
    """What was shown at the first start must work for ever."""
    made = find_root_keys(NONE_GIVEN, tmp_path, is_dev=False)
    again = find_root_keys(NONE_GIVEN, tmp_path, is_dev=False)
    assert (made.origin, again.origin) == (KeyOrigin.MADE, KeyOrigin.STORED)
    assert (made.access_key, made.secret_key) == (again.access_key, again.secret_key)
    assert re.fullmatch(r"[A-Z0-9]{20}", made.access_key)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", made.secret_key.reveal())


def test_file_is_for_its_owner_only_and_nothing_else_is_left(tmp_path) -> None:
    """Whoever reads it may do everything; a forgotten copy would do as well."""
    keys = find_root_keys(NONE_GIVEN, tmp_path, is_dev=False)
    assert [path.name for path in tmp_path.iterdir()] == [ROOT_KEYS_FILE]
    assert stat.S_IMODE((tmp_path / ROOT_KEYS_FILE).stat().st_mode) == 0o600
    assert not keys.is_readable_by_others
    (tmp_path / ROOT_KEYS_FILE).chmod(0o644)
    assert keys.is_readable_by_others


def test_given_keys_win_and_leave_the_file_alone(tmp_path) -> None:
    """Taking the override away again must bring the kept pair back."""
    made = find_root_keys(NONE_GIVEN, tmp_path, is_dev=False)
    given = find_root_keys(GIVEN, tmp_path, is_dev=False)
    assert (given.access_key, given.origin) == ("GIVEN", KeyOrigin.GIVEN)
    assert find_root_keys(NONE_GIVEN, tmp_path, is_dev=False).access_key == made.access_key


def test_given_keys_and_development_keys_are_not_written(tmp_path) -> None:
    """A secret that the operator manages elsewhere must not get a second home here."""
    find_root_keys(GIVEN, tmp_path, is_dev=False)
    development = find_root_keys(NONE_GIVEN, tmp_path, is_dev=True)
    assert (development.access_key, development.secret_key.reveal()) == ("objstore", "objstore-dev")
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_is_refused_and_not_replaced(tmp_path) -> None:
    """A new pair would lock everybody out who holds the old one."""
    file = tmp_path / ROOT_KEYS_FILE
    file.write_text("access_key = 5", encoding="utf-8")
    with pytest.raises(StartRefused, match="cannot be used"):
        find_root_keys(NONE_GIVEN, tmp_path, is_dev=False)
    assert file.read_text(encoding="utf-8") == "access_key = 5"


def test_repr_hides_the_secret(tmp_path) -> None:
    """Objects end up in logs."""
    keys = find_root_keys(NONE_GIVEN, tmp_path, is_dev=False)
    assert keys.secret_key.reveal() not in repr(keys)

"""The root key pair: given, found in its file, or made once.

The file lies in the first data directory with mode 0600 and is published durably (written aside, flushed, linked to its
name, directory flushed), so that the pair that was shown at the first start is the pair of every later one. Keys given
by the operator win for as long as they are given; the file is then neither read nor changed.
"""

from __future__ import annotations

import contextlib
import secrets
import stat
import string
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from objstore.server.refusal import StartRefused
from objstore.server.settings import AccessSettings, Secret
from objstore.storage.publish import create_file

__all__ = [
    "ROOT_KEYS_FILE",
    "KeyOrigin",
    "RootKeys",
    "copy_root_keys",
    "find_root_keys",
    "find_root_keys_on",
]

ROOT_KEYS_FILE = "root-keys.toml"
"""Name of the file within the first data directory."""

DEV_ACCESS_KEY = "objstore"
DEV_SECRET_KEY = "objstore-dev"  # noqa: S105 - public by design: development mode listens on loopback only

_ACCESS_KEY_LENGTH = 20
_SECRET_KEY_LENGTH = 40
_ACCESS_KEY_LETTERS = string.ascii_uppercase + string.digits
_SECRET_KEY_LETTERS = string.ascii_letters + string.digits
_FILE_TEXT = """\
# The root keys of this store, made at its first start. Whoever reads them may do everything with it.
# Keys given as settings (root_access_key, root_secret_key) win over this file.
access_key = "{access_key}"
secret_key = "{secret_key}"
"""


class KeyOrigin(Enum):
    """Where the root keys of this start came from."""

    GIVEN = "given by the settings"
    STORED = "from the file in the first data directory"
    MADE = "made at this start"
    DEVELOPMENT = "the fixed keys of development mode"


@dataclass(frozen=True, slots=True)
class RootKeys:
    """The pair that may do everything, and where it came from."""

    access_key: str
    secret_key: Secret
    origin: KeyOrigin
    file: Path | None = None
    """Where the pair is kept, if it is kept by the store."""

    @property
    def is_readable_by_others(self) -> bool:
        """Whether the file can be read by every user of the machine; worth a warning, not a refusal."""
        return self.file is not None and bool(self.file.stat().st_mode & stat.S_IROTH)


def find_root_keys(access: AccessSettings, directory: Path, *, is_dev: bool) -> RootKeys:
    """Return the root pair; makes and keeps one where none is given or stored.

    `directory` must exist. Raises `StartRefused` when the file cannot be read or written.
    """
    if access.root_access_key:
        return RootKeys(access.root_access_key, access.root_secret_key, KeyOrigin.GIVEN)
    if is_dev:
        return RootKeys(DEV_ACCESS_KEY, Secret(DEV_SECRET_KEY), KeyOrigin.DEVELOPMENT)
    file = directory / ROOT_KEYS_FILE
    try:
        return _read(file)
    except FileNotFoundError:
        return _make(file)
    except OSError as error:
        raise StartRefused(f"cannot read the root keys in {file}: {error.strerror}") from error


def find_root_keys_on(
    access: AccessSettings, directories: Sequence[Path], *, is_dev: bool
) -> RootKeys:
    """Return the root pair of a node that keeps a copy of the file in each of its directories.

    Copies that are missing are written; a directory that cannot take one does without. Raises `StartRefused`.
    """
    holders = [d for d in directories if (d / ROOT_KEYS_FILE).exists()]
    keys = find_root_keys(access, (holders or list(directories))[0], is_dev=is_dev)
    if keys.file is not None:
        copy_root_keys(keys, directories)
    return keys


def copy_root_keys(keys: RootKeys, directories: Sequence[Path]) -> None:
    """Put a copy of the file into each directory that has none and can take one."""
    for directory in directories:
        if keys.file is None or (directory / ROOT_KEYS_FILE).exists():
            continue
        text = _FILE_TEXT.format(access_key=keys.access_key, secret_key=keys.secret_key.reveal())
        with contextlib.suppress(OSError):
            create_file(directory / ROOT_KEYS_FILE, text.encode())


def _read(file: Path) -> RootKeys:
    try:
        pair = tomllib.loads(file.read_text(encoding="utf-8"))
        access_key, secret_key = str(pair["access_key"]), str(pair["secret_key"])
    except (ValueError, KeyError) as error:
        raise StartRefused(
            f"the root keys in {file} cannot be used: {error}",
            next_step="restore the file, or give root_access_key and root_secret_key as settings",
        ) from error
    return RootKeys(access_key, Secret(secret_key), KeyOrigin.STORED, file)


def _make(file: Path) -> RootKeys:
    access_key = "".join(secrets.choice(_ACCESS_KEY_LETTERS) for _ in range(_ACCESS_KEY_LENGTH))
    secret_key = "".join(secrets.choice(_SECRET_KEY_LETTERS) for _ in range(_SECRET_KEY_LENGTH))
    try:
        create_file(file, _FILE_TEXT.format(access_key=access_key, secret_key=secret_key).encode())
    except FileExistsError:
        return _read(file)  # another process was faster: its pair is the pair
    except OSError as error:
        raise StartRefused(f"cannot keep the root keys in {file}: {error.strerror}") from error
    return RootKeys(access_key, Secret(secret_key), KeyOrigin.MADE, file)

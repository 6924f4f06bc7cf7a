"""Who the access keys belong to. Until users can be managed at run time they are fixed at start: root and static users.

Ids follow from the name alone, so that a user keeps the buckets when the key is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from objstore.model.names import AccountId, CanonicalId
from objstore.model.objects import Identity

__all__ = ["ANONYMOUS", "Identities", "UserEntry"]

_ACCOUNT_DIGITS = 12

ANONYMOUS = Identity(
    name="anonymous", access_key="", canonical_id=CanonicalId(""), account_id=AccountId("")
)
"""The caller that signed nothing."""


@dataclass(frozen=True, slots=True)
class UserEntry:
    """A user with one key pair."""

    name: str
    access_key: str
    secret_key: str = field(repr=False)
    is_root: bool = False


class Identities:
    """Look-up by access key; answers from memory."""

    def __init__(self, users: Iterable[UserEntry]) -> None:
        self._secrets: dict[str, str] = {}
        self._identities: dict[str, Identity] = {}
        for user in users:
            self._secrets[user.access_key] = user.secret_key
            self._identities[user.access_key] = _identity(user)

    def secret_of(self, access_key: str) -> str | None:
        """Return the secret of an access key, or None for an unknown one."""
        return self._secrets.get(access_key)

    def identity_of(self, access_key: str) -> Identity:
        """Return the holder of a key whose signature was verified."""
        return self._identities[access_key]


def _identity(user: UserEntry) -> Identity:
    digest = hashlib.sha256(f"objstore user {user.name}".encode())
    number = int.from_bytes(digest.digest()[:8], "big") % 10**_ACCOUNT_DIGITS
    return Identity(
        name=user.name,
        access_key=user.access_key,
        canonical_id=CanonicalId(digest.hexdigest()),
        account_id=AccountId(f"{number:0{_ACCOUNT_DIGITS}d}"),
        is_root=user.is_root,
    )

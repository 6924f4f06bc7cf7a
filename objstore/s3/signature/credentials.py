"""Where secrets come from: a port that whoever keeps the users satisfies.

It promises nothing about storage; a source answers from memory, because a signature is verified on
the event loop. It does not say what the holder of a key may do.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["CredentialSource"]


class CredentialSource(Protocol):
    """The keys that may sign requests."""

    def secret_of(self, access_key: str) -> str | None:
        """Return the secret of an access key in use, or None for an unknown or disabled one."""
        ...

"""Which etcd servers may hold the control store. Pure.

Servers 3.5.0 to 3.5.5 and 3.4.0 to 3.4.21 can come up with different data on different members after a member was killed:
the index of the last applied entry was saved apart from the data. 3.5.6 and 3.4.22 are free of it; there is no repair
for a cluster that was hit, so such a server is refused before the first read.
"""

from __future__ import annotations

import re
from typing import Final

from objstore.model.errors import ControlStoreUnfit

__all__ = ["check_server_version"]

_RELEASE: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_MAJOR: Final = 3
_MINIMUM: Final = (3, 4, 22)
_FIRST_GOOD: Final = {(3, 4): 22, (3, 5): 6}
"""By minor version: the first patch without the inconsistency."""


def check_server_version(version: str, *, endpoint: str) -> None:
    """Raise `ControlStoreUnfit` with what to do, unless a server of this version may be used."""
    found = _RELEASE.fullmatch(version)
    if found is None:
        raise ControlStoreUnfit(
            "this etcd is not a release; install 3.5.6 or later", endpoint=endpoint, version=version
        )
    major, minor, patch = (int(number) for number in found.groups())
    if major != _MAJOR:
        raise ControlStoreUnfit(
            "only version 3 of etcd is known", endpoint=endpoint, version=version
        )
    if (major, minor, patch) < _MINIMUM or patch < _FIRST_GOOD.get((major, minor), 0):
        raise ControlStoreUnfit(
            "this etcd can lose consistency when it is killed; install 3.5.6 or later, or 3.4.22 or later",
            endpoint=endpoint,
            version=version,
        )

"""Which scheme fits how many failure domains.

With one drive there is nothing to spread over. Few domains take copies, because Reed-Solomon needs
more domains than it saves bytes. Six take 4+2 (1.5 bytes kept per byte, two losses survived),
eleven 8+3 (1.375, three losses).
"""

from __future__ import annotations

from typing import Final

from objstore.model.errors import check
from objstore.model.objects import Scheme

__all__ = ["scheme_for"]

_SCHEMES: Final = (
    (11, Scheme(8, 3)),
    (6, Scheme(4, 2)),
    (3, Scheme(1, 2)),
    (2, Scheme(1, 1)),
    (1, Scheme(1, 0)),
)
"""Domains needed, scheme; widest first."""


def scheme_for(domains_count: int) -> Scheme:
    """Return the default scheme for that many failure domains (drives, nodes or zones)."""
    check(domains_count > 0, "a store needs a drive")
    return next(scheme for domains_min, scheme in _SCHEMES if domains_count >= domains_min)

"""The scheme follows the failure domains."""

from __future__ import annotations

import pytest

from objstore.model.errors import InvariantError
from objstore.model.objects import Scheme
from objstore.replication import scheme_for


@pytest.mark.parametrize(
    ("domains", "scheme"),
    [
        (1, Scheme(1, 0)),
        (2, Scheme(1, 1)),
        (3, Scheme(1, 2)),
        (5, Scheme(1, 2)),
        (6, Scheme(4, 2)),
        (10, Scheme(4, 2)),
        (11, Scheme(8, 3)),
        (100, Scheme(8, 3)),
    ],
)
def test_scheme_fits_the_domains(domains, scheme):
    """No scheme needs more domains than there are: two shards in one would be lost together."""
    assert scheme_for(domains) == scheme
    assert scheme.width <= domains


def test_no_drive_no_scheme():
    """A store without a drive is a mistake of the caller's."""
    with pytest.raises(InvariantError):
        scheme_for(0)

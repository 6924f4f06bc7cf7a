"""The credential scope `<access key>/<date>/<region>/s3/aws4_request`, and who is blamed for it.

The same faults have one code and one prefix in a header and another in a query (s3 rules 2.2.13 and
2.3.2); a `Blame` carries the difference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from objstore.model.errors import (
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    Detail,
    InvalidRequest,
)
from objstore.s3.signature.keys import SERVICE, TERMINAL
from objstore.s3.signature.outcome import RegionPolicy

__all__ = ["HEADER_BLAME", "QUERY_BLAME", "Blame", "Scope", "parse_scope"]


class Blame(msgspec.Struct, frozen=True):
    """The error kind and the beginning of its text, by where the credential stood."""

    kind: type[InvalidRequest]
    prefix: str

    def error(self, text: str, **detail: Detail) -> InvalidRequest:
        """Return the error to raise."""
        return self.kind(self.prefix + text, **detail)


HEADER_BLAME: Final = Blame(AuthorizationHeaderMalformed, "The authorization header is malformed; ")
QUERY_BLAME: Final = Blame(
    AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter; "
)


class Scope(msgspec.Struct, frozen=True):
    """A well-formed credential for this service."""

    access_key: str
    date: str
    region: str
    text: bytes
    """`date/region/s3/aws4_request`, as signed."""


_MALFORMED: Final = (
    'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
)
_PRINTABLE: Final = re.compile(rb"[!-~]+")
_DATE: Final = re.compile(r"[0-9]{8}")


@lru_cache(maxsize=512)
def parse_scope(credential: bytes, policy: RegionPolicy, blame: Blame) -> Scope:
    """Split a credential from the right, because an access key may contain `/` (s3 rule 2.2.1)."""
    if _PRINTABLE.fullmatch(credential) is None:
        raise blame.error(_MALFORMED)
    fields = credential.decode("ascii").rsplit("/", 4)
    # A percent sign is left only by encoding the credential twice (s3 rule 2.3.10).
    if len(fields) != 5 or not fields[0] or b"%" in credential:
        raise blame.error(_MALFORMED)
    access_key, date, region, service, terminal = fields
    if _DATE.fullmatch(date) is None:
        raise blame.error(
            f'incorrect date format "{date}". This date in the credential must be in the format '
            '"yyyyMMdd".'
        )
    if terminal != TERMINAL:
        raise blame.error(f'incorrect terminal "{terminal}". This endpoint uses "{TERMINAL}".')
    if service != SERVICE:
        raise blame.error(f'incorrect service "{service}". This endpoint belongs to "{SERVICE}".')
    if policy.strict and region != policy.region:
        raise blame.error(
            f"the region '{region}' is wrong; expecting '{policy.region}'", region=policy.region
        )
    return Scope(access_key, date, region, credential[len(access_key) + 1 :])

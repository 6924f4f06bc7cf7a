"""A request as the protocol layer sees it, between the wire and the typed inputs.

`RawRequest` is what came in, untouched. `S3Request` adds what was parsed once: bucket, key, query and header look-up.
Nothing here decodes a body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from objstore.model.names import ObjectKey

__all__ = ["Headers", "Query", "RawRequest", "S3Request"]

Headers = Mapping[str, str]
"""Lower-case names; repeated headers joined with `,`; values decoded as UTF-8, or as Latin-1 where that fails."""


class RawRequest(msgspec.Struct, frozen=True, gc=False):
    """What the client sent: exact bytes, because signatures are computed over them."""

    method: str
    raw_path: bytes
    """Path of the request target, still percent-encoded, without query."""
    raw_query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    """Lower-case names with their values, in order of arrival."""
    scheme: str
    """`http` or `https`."""


class Query(msgspec.Struct, frozen=True, gc=False):
    """The decoded query string. Names are case-sensitive; the first value of a name counts."""

    pairs: tuple[tuple[str, str], ...]
    first: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """Return the first value of a parameter, `""` for one without value, None when absent."""
        return self.first.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self.first


class S3Request(msgspec.Struct, frozen=True, gc=False):
    """A parsed request: which bucket and key, with which parameters and headers."""

    raw: RawRequest
    method: str
    bucket: str | None
    key: ObjectKey | None
    query: Query
    headers: Headers
    is_virtual_host: bool = False
    host: str = ""

    @property
    def resource(self) -> str:
        """The path as the error document shows it (`Resource`)."""
        return self.raw.raw_path.decode("latin-1")

"""Signatures: who sent a request, proven by SigV4 in a header or a query, or by SigV2 in a query. Pure functions."""

from objstore.s3.signature.canonical import SignedParts
from objstore.s3.signature.chunked import ChunkChain
from objstore.s3.signature.credentials import CredentialSource
from objstore.s3.signature.keys import SigningKey, SigningKeyCache, derive_signing_key
from objstore.s3.signature.mechanism import Authenticator, is_presigned
from objstore.s3.signature.outcome import (
    Anonymous,
    Authenticated,
    Mechanism,
    Payload,
    PayloadMode,
    RegionPolicy,
)
from objstore.s3.signature.presigned import hoisted_headers

__all__ = [
    "Anonymous",
    "Authenticated",
    "Authenticator",
    "ChunkChain",
    "CredentialSource",
    "Mechanism",
    "Payload",
    "PayloadMode",
    "RegionPolicy",
    "SignedParts",
    "SigningKey",
    "SigningKeyCache",
    "derive_signing_key",
    "hoisted_headers",
    "is_presigned",
]

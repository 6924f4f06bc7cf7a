"""Certificates: loaded at start, replaced while running, refused in plain words.

A new pair is tried on a context of its own before it touches the one in use, so that a botched renewal leaves the
server with the certificate that works.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from objstore.server.refusal import StartRefused

__all__ = ["load_tls", "reload_tls"]

_NEXT_STEP = (
    "give a PEM chain (own certificate first) and the matching PEM key without a passphrase"
)


def load_tls(cert: Path, key: Path) -> ssl.SSLContext:
    """Return a server context of TLS 1.2 or later. Raises `StartRefused` when the pair cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, cert, key)
    return context


def reload_tls(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Serve new connections with the pair that the files hold now; on `StartRefused` nothing changed."""
    load_tls(cert, key)
    _load_pair(context, cert, key)


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, password=_refuse_passphrase)
    except ssl.SSLError as error:
        raise StartRefused(_explain(error, cert, key), next_step=_NEXT_STEP) from error
    except OSError as error:
        raise StartRefused(
            f"cannot read {cert} or {key}: {error.strerror}", next_step=_NEXT_STEP
        ) from error
    except _PassphraseAskedError as error:
        raise StartRefused(f"{key} is locked by a passphrase", next_step=_NEXT_STEP) from error


class _PassphraseAskedError(Exception):
    """OpenSSL wants a passphrase; nobody sits at a terminal to give one."""


def _refuse_passphrase() -> str:
    raise _PassphraseAskedError


def _explain(error: ssl.SSLError, cert: Path, key: Path) -> str:
    match error.reason or "":  # OpenSSL sometimes gives none
        case "KEY_VALUES_MISMATCH":
            return f"{key} is not the private key of the certificate in {cert}"
        case "NO_START_LINE" | "PEM_LIB" | "":
            return f"{cert} or {key} is not in PEM form"
        case _:
            reason = str(error.reason).lower().replace("_", " ")
            return f"{cert} and {key} cannot be used: {reason}"

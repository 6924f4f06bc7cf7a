"""Asks a running server whether it is ready, with the standard library only: a probe has to be cheap."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from objstore.server.addresses import parse_address

__all__ = ["ask_readiness", "own_url"]

READY_PATH = "/_/health/ready"
_DEFAULT_ADDRESS = "127.0.0.1:9000"


def own_url(environ: Mapping[str, str]) -> str:
    """Return the URL of the server that this environment configures."""
    address = parse_address(environ.get("OBJSTORE_ADDRESS") or _DEFAULT_ADDRESS)
    host = "127.0.0.1" if address.host in {"", "0.0.0.0", "::"} else address.host  # noqa: S104 - compared, not bound
    scheme = "https" if environ.get("OBJSTORE_TLS_CERT") else "http"
    return f"{scheme}://{address._replace(host=host)}"


def ask_readiness(url: str, *, timeout_s: float) -> tuple[bool, str]:
    """Return whether the server says that it is ready, and a line for a person."""
    target = urlsplit(url)
    connection: http.client.HTTPConnection
    if target.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(target.netloc, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(target.netloc, timeout=timeout_s)
    try:
        connection.request("GET", READY_PATH)
        answer = connection.getresponse()
        text = answer.read(4096).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url} does not answer: {error}"
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return True, f"{url} is ready"
    return False, f"{url} is not ready: {answer.status} {text}"

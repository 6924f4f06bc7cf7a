"""Tells what is wrong with settings, all of it at once. Reads, and changes nothing.

Each rule is a small function from settings to complaints; `check` runs them all. A complaint names the setting and says
what would be right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from objstore.model.limits import INLINE_BYTES_MAX, KIB, MIB
from objstore.model.names import is_bucket_name
from objstore.server.addresses import Address, parse_address
from objstore.server.settings import Settings, setting_rows

__all__ = ["check"]

_BLOCK_BYTES_MIN = 64 * KIB
_BLOCK_BYTES_MAX = 64 * MIB
_ACCESS_KEY = re.compile(r"[A-Za-z0-9._-]{3,128}", re.ASCII)
_SECRET_KEY_MIN = 8
_WORKERS_MAX = 64
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DOMAIN = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


def check(settings: Settings) -> list[str]:
    """Return every problem, in the order of the documentation; an empty list means go."""
    return [problem for rule in _RULES for problem in rule(settings)]


def _addresses(settings: Settings) -> Iterator[str]:
    listen = settings.listen
    seen: dict[Address, str] = {}
    for name in ("address", "console_address"):
        try:
            address = parse_address(getattr(listen, name))
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if address.port and address in seen:
            yield f"{name}: {address} is already the {seen[address]}"
        seen[address] = name
        if settings.dev and not address.is_loopback:
            yield f"{name}: {address} is not a loopback address, and --dev uses keys that everybody knows"


def _tls(settings: Settings) -> Iterator[str]:
    cert, key = settings.listen.tls_cert, settings.listen.tls_key
    if (cert is None) != (key is None):
        yield "tls_cert and tls_key belong together: give both or neither"
    for name, file in (("tls_cert", cert), ("tls_key", key)):
        if file is not None and not file.is_file():
            yield f"{name}: there is no file {file}"


def _names(settings: Settings) -> Iterator[str]:
    for domain in settings.listen.domains:
        if not _DOMAIN.fullmatch(domain):
            yield f"domains: {domain!r} is not a domain name in lower case"
    url = urlsplit(settings.listen.public_url)
    if settings.listen.public_url and (
        url.scheme not in {"http", "https"} or not url.netloc or url.path.strip("/") or url.query
    ):
        yield f"public_url: {settings.listen.public_url!r} is not http(s)://HOST[:PORT] without a path"
    if not _REGION.fullmatch(settings.s3.region):
        yield f"region: {settings.s3.region!r} may hold a-z, 0-9 and -, 63 characters at most"
    for bucket in settings.s3.buckets:
        if not is_bucket_name(bucket):
            yield f"buckets: {bucket!r} is not a bucket name (3 to 63 of a-z, 0-9, `.` and `-`)"


def _limits(settings: Settings) -> Iterator[str]:
    storage, listen = settings.storage, settings.listen
    if not 0 <= storage.inline_bytes_max <= INLINE_BYTES_MAX:
        yield f"inline_limit_bytes: {storage.inline_bytes_max} is not within 0 and {INLINE_BYTES_MAX}"
    block = storage.block_bytes
    if not _BLOCK_BYTES_MIN <= block <= _BLOCK_BYTES_MAX or block & (block - 1):
        yield f"block_bytes: {block} is not a power of two from 64 KiB to 64 MiB"
    for name in ("idle_timeout_s", "head_timeout_s", "stall_timeout_s", "drain_deadline_s"):
        if getattr(listen, name) <= 0:
            yield f"{name}: must be more than 0"
    for name in ("sweep_age_s", "sweep_every_s"):
        if getattr(storage, name) <= 0:
            yield f"{name}: must be more than 0"
    if listen.connections_max < 1:
        yield "connections_max: must be at least 1"
    if not 1 <= settings.workers <= _WORKERS_MAX:
        yield f"workers: {settings.workers} is not from 1 to {_WORKERS_MAX}"


def _choices(settings: Settings) -> Iterator[str]:
    for row in setting_rows():
        if (
            row.choices
            and (value := getattr(getattr(settings, row.group), row.name)) not in row.choices
        ):
            yield f"{row.name}: {value!r} is none of {', '.join(row.choices)}"


def _directories(settings: Settings) -> Iterator[str]:
    dirs = settings.storage.dirs
    if not dirs and not settings.dev:
        yield "dirs: name at least one directory for the data, or use --dev for temporary data"
    for path, times in Counter(path.absolute() for path in dirs).items():
        if times > 1:
            yield f"dirs: {path} is given {times} times"
    for path in dirs:
        if path.exists() and not path.is_dir():
            yield f"dirs: {path} is not a directory"


def _keys(settings: Settings) -> Iterator[str]:
    access = settings.access
    if bool(access.root_access_key) != bool(access.root_secret_key):
        yield "root_access_key and root_secret_key belong together: give both or neither"
    if access.root_access_key:
        yield from _pair("root", access.root_access_key, len(access.root_secret_key.reveal()))
    for user in access.users:
        yield from _pair(f"users: {user.name}", user.access_key, len(user.secret_key.reveal()))
    yield from _repeated("name", (user.name for user in access.users))
    keys = [user.access_key for user in access.users]
    yield from _repeated("access_key", [*keys, access.root_access_key] if keys else [])


def _pair(who: str, access_key: str, secret_length: int) -> Iterator[str]:
    if not _ACCESS_KEY.fullmatch(access_key):
        yield f"{who}: an access key has 3 to 128 of A-Z, a-z, 0-9, `.`, `_` and `-`"
    if secret_length < _SECRET_KEY_MIN:
        yield f"{who}: a secret key has at least {_SECRET_KEY_MIN} characters"


def _repeated(what: str, values: Iterable[str]) -> Iterator[str]:
    for value, times in Counter(values).items():
        if times > 1:
            yield f"users: the {what} {value} is given {times} times"


_RULES = (_directories, _addresses, _tls, _names, _limits, _choices, _keys)

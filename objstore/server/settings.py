"""Every setting of a node: one frozen tree, built once at start, handed down part by part.

A setting has one name everywhere: `log_level` in the TOML file, `OBJSTORE_LOG_LEVEL` in the environment,
`--log-level` on the command line. The field that holds the value also holds its meaning, unit and danger, so
that the sources, the help, the checks and docs/settings.md follow one table (`setting_rows`).

Settings are data: nothing here opens, creates or changes anything. `check` (in `settings_check`) reads what the
values point to, reports all problems at once and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from objstore.model.limits import INLINE_BYTES_ALONE, INLINE_BYTES_REPLICATED, MIB

__all__ = [
    "AccessSettings",
    "Kind",
    "ListenSettings",
    "LogSettings",
    "S3Settings",
    "Secret",
    "SettingRow",
    "Settings",
    "StorageSettings",
    "UserSettings",
    "build_settings",
    "setting_rows",
]

_DAY_S = 24 * 3600
_REPLICATED_DIRECTORIES_MIN: Final = 3


class Secret:
    """A text that never shows itself: not in `repr`, not in `str`, not in a format string."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself; call it only where the secret is used."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))


class Kind(Enum):
    """How the text of a setting is read; the value is the word that the help shows."""

    PATH = "PATH"
    PATHS = "PATH..."
    ADDRESS = "HOST:PORT"
    TEXT = "TEXT"
    TEXTS = "TEXT..."
    SECRET = "SECRET"  # noqa: S105 - the word for the help, not a password
    FLAG = "true|false"
    COUNT = "COUNT"
    BYTES = "BYTES"
    SECONDS = "SECONDS"
    CHOICE = "CHOICE"
    USERS = "TABLE..."


class _Setting(NamedTuple):
    """What a field says about its setting (kept in the field's metadata)."""

    kind: Kind
    meaning: str
    danger: str = ""
    choices: tuple[str, ...] = ()
    flag: str = ""


class SettingRow(NamedTuple):
    """One setting, as the sources, the help and the documentation see it."""

    name: str
    group: str
    kind: Kind
    default: Any
    meaning: str
    danger: str
    choices: tuple[str, ...]
    flag: str

    @property
    def env(self) -> str:
        """Name in the environment; empty for tables, which only the file can hold."""
        if self.kind is Kind.USERS:
            return ""
        return f"OBJSTORE_{self.name.upper()}"

    @property
    def takes_file(self) -> bool:
        """Whether the value may be read from a file named by `<name>_file` (keys and secrets)."""
        return self.kind is Kind.SECRET or self.name == "root_access_key"


def _setting(
    kind: Kind,
    meaning: str,
    *,
    default: Any = None,
    danger: str = "",
    choices: tuple[str, ...] = (),
    flag: str | None = None,
) -> Any:
    described = _Setting(kind, meaning, danger, choices, flag if flag is not None else "auto")
    return field(default=default, metadata={"setting": described})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """A user who exists from the first request on (`[[users]]` in the TOML file)."""

    name: str
    access_key: str
    secret_key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Where and how connections are taken."""

    address: str = _setting(
        Kind.ADDRESS,
        "Where S3 is served. Port 0 takes a free port; `[::]:9000` listens on all addresses of both families.",
        default="127.0.0.1:9000",
        danger="Without TLS, requests and objects cross the network in the clear.",
    )
    console_address: str = _setting(
        Kind.ADDRESS, "Where the web console is served.", default="127.0.0.1:9001"
    )
    tls_cert: Path | None = _setting(
        Kind.PATH,
        "Certificate chain in PEM form, own certificate first. SIGHUP reads it again. Together with tls_key.",
    )
    tls_key: Path | None = _setting(
        Kind.PATH,
        "Private key in PEM form, without a passphrase. Together with tls_cert.",
        danger="Whoever reads the file can pose as this server: mode 0600.",
    )
    domains: tuple[str, ...] = _setting(
        Kind.TEXTS,
        "Base domains: a request for `photos.s3.example.com` with the domain `s3.example.com` names bucket `photos`.",
        default=(),
        flag="--domain",
    )
    public_url: str = _setting(
        Kind.TEXT,
        "Address under which clients reach this server, where that differs from `address` (proxy, NAT). "
        "Used in answers that carry a URL.",
        default="",
    )
    connections_max: int = _setting(
        Kind.COUNT,
        "Open connections taken at the same time; the next one is answered 503 SlowDown and closed.",
        default=4096,
        danger="Each connection may hold up to 2 MiB of buffers and needs a file descriptor.",
    )
    idle_timeout_s: float = _setting(
        Kind.SECONDS, "A connection without a request is closed after this time.", default=75.0
    )
    head_timeout_s: float = _setting(
        Kind.SECONDS,
        "Time for a client to send the whole request head, from its first byte (or from connecting).",
        default=20.0,
        danger="Large values let few slow clients hold all connections.",
    )
    stall_timeout_s: float = _setting(
        Kind.SECONDS,
        "A transfer that moves no byte for this time, in either direction, is given up.",
        default=60.0,
    )
    drain_deadline_s: float = _setting(
        Kind.SECONDS,
        "On SIGTERM: how long requests in flight may take to finish before they are cut.",
        default=30.0,
        danger="A supervisor that kills earlier (Docker: 10 s) cuts requests; nothing acknowledged is lost.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """What clients are told and what is taken from them."""

    region: str = _setting(
        Kind.TEXT,
        "The region that signatures name and that answers show.",
        default="us-east-1",
        danger="Clients sign with it: a change makes strict clients fail until they are told.",
    )
    region_strict: bool = _setting(
        Kind.FLAG,
        "Refuse requests signed for another region. Otherwise any region is taken.",
        default=False,
    )
    buckets: tuple[str, ...] = _setting(
        Kind.TEXTS,
        "Buckets that exist before the server says that it is ready. Existing ones are left as they are.",
        default=(),
        flag="--bucket",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where the bytes live and how they are cut."""

    dirs: tuple[Path, ...] = _setting(
        Kind.PATHS,
        "Directories that hold the data, one a drive. Missing ones are created at the first start only.",
        default=(),
        flag="",
        danger="Two directories on one disk look like two drives and are lost together.",
    )
    inline_limit_bytes: int | None = _setting(
        Kind.BYTES,
        "Objects up to this size are kept in the metadata row: one write, one flush. At most 128 KiB, which is also what "
        "one or two directories take where nothing is said; three and more, whose catalogue is replicated, take 16 KiB.",
        danger="Inline bytes go through the log to every replica and grow the metadata files.",
    )
    block_bytes: int = _setting(
        Kind.BYTES,
        "Larger objects are cut into blocks of this size. New objects only; a power of two from 64 KiB to 64 MiB.",
        default=4 * MIB,
        danger="Each upload in flight holds about two blocks in memory.",
    )
    trash_retention_s: float = _setting(
        Kind.SECONDS,
        "How long the files of deleted data are kept before their space is given back.",
        default=float(_DAY_S),
        danger="0 gives space back at once and leaves no second chance after a mistake in the field.",
    )
    sweep_age_s: float = _setting(
        Kind.SECONDS,
        "Files on drives that nothing refers to are found and removed when the write that left them began so long ago.",
        default=float(_DAY_S),
        danger="No single upload or part may take longer: it is refused at its end.",
    )
    sweep_every_s: float = _setting(
        Kind.SECONDS,
        "How often drives are searched for such files.",
        default=6 * 3_600.0,
        danger="A search lists every file and reads all of the metadata, slowly.",
    )
    reserve_bytes: int = _setting(
        Kind.BYTES,
        "Free space that a drive keeps: below it new data is refused, deletes still work. 0 takes 2 % of the filesystem, "
        "at least 1 GiB, yet never more than a tenth of it.",
        default=0,
        danger="A metadata store that runs out of space can take no deletes either: leave it some.",
    )

    @property
    def is_replicated(self) -> bool:
        """Tell whether catalogue and control store are replicated: from three directories on."""
        return len(self.dirs) >= _REPLICATED_DIRECTORIES_MIN

    @property
    def inline_bytes_max(self) -> int:
        """The size up to which an object is kept in its row, whoever chose it."""
        if self.inline_limit_bytes is not None:
            return self.inline_limit_bytes
        return INLINE_BYTES_REPLICATED if self.is_replicated else INLINE_BYTES_ALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Keys known from the start. Without root keys a random pair is made at the first start and kept."""

    root_access_key: str = _setting(
        Kind.TEXT,
        "Access key of root. Also from the file named by `root_access_key_file`.",
        default="",
        flag="",
    )
    root_secret_key: Secret = _setting(
        Kind.SECRET,
        "Secret key of root, at least 8 characters. Also from the file named by `root_secret_key_file`.",
        default=Secret(""),
        flag="",
        danger="Root may do everything. Prefer the file: the environment of a process can be read by its user.",
    )
    users: tuple[UserSettings, ...] = _setting(
        Kind.USERS,
        "Users known at start: tables with `name`, `access_key` and `secret_key` or `secret_key_file`. TOML only.",
        default=(),
        flag="",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is told to standard error."""

    log_level: str = _setting(
        Kind.CHOICE,
        "Least weight of an event that is written. `info` writes no line for each request; `debug` does.",
        default="info",
        choices=("debug", "info", "warning", "error"),
    )
    log_format: str = _setting(
        Kind.CHOICE,
        "`console` for people, `json` for collectors: one object a line.",
        default="console",
        choices=("console", "json"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one node."""

    listen: ListenSettings = ListenSettings()
    s3: S3Settings = S3Settings()
    storage: StorageSettings = StorageSettings()
    access: AccessSettings = AccessSettings()
    log: LogSettings = LogSettings()
    workers: int = _setting(
        Kind.COUNT,
        "Processes that serve S3 on one port. The first one owns the data; with more than one, the others read the "
        "same files and send their changes to it.",
        default=1,
        danger="Each process takes about 100 MiB of memory, and `connections_max` holds for each of them.",
    )
    dev: bool = _setting(
        Kind.FLAG,
        "Development mode: root is `objstore` / `objstore-dev`, loopback addresses only, "
        "temporary data unless a directory is given.",
        default=False,
        danger="Everybody on this machine knows the keys.",
    )


@cache
def setting_rows() -> tuple[SettingRow, ...]:
    """Return all settings in the order of the documentation."""
    return tuple(_rows_of(Settings, ""))


def _rows_of(part: type, group: str) -> Iterator[SettingRow]:
    for item in fields(part):
        described = item.metadata.get("setting")
        if described is None:
            yield from _rows_of(type(item.default), item.name)
            continue
        default = None if item.default is MISSING else item.default
        flag = described.flag if described.flag != "auto" else "--" + item.name.replace("_", "-")
        yield SettingRow(
            item.name,
            group,
            described.kind,
            default,
            described.meaning,
            described.danger,
            described.choices,
            flag,
        )


def build_settings(values: dict[str, Any]) -> Settings:
    """Put values, by name of setting, into a tree; what is not given keeps its default."""
    groups: dict[str, dict[str, Any]] = {}
    for row in setting_rows():
        if row.name in values:
            groups.setdefault(row.group, {})[row.name] = values[row.name]
    top = groups.pop("", {})
    defaults = Settings()
    for group, given in groups.items():
        top[group] = replace(getattr(defaults, group), **given)
    return Settings(**top)

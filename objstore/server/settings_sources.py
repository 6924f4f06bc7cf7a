"""Reads settings from the command line, the environment and a TOML file, in that order of weight.

Everything is read before anything is refused, so that a person sees all faults of all sources at once. A name that no
setting has is a fault, with the nearest name as a suggestion: a misspelt setting that is silently ignored is how
stores end up on the wrong disk.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from objstore.server.refusal import StartRefused
from objstore.server.settings import (
    Kind,
    Secret,
    SettingRow,
    Settings,
    UserSettings,
    build_settings,
    setting_rows,
)

__all__ = ["CONFIG_ENV", "load_settings", "parse_bytes", "parse_seconds"]

CONFIG_ENV = "OBJSTORE_CONFIG"
"""Names the TOML file where `--config` does not."""

_NEXT_STEP = "see `objstore-node serve --help` and docs/settings.md"
_BYTE_UNITS = {
    "": Decimal(1),
    "b": Decimal(1),
    "kib": Decimal(1 << 10),
    "mib": Decimal(1 << 20),
    "gib": Decimal(1 << 30),
    "tib": Decimal(1 << 40),
    "kb": Decimal(10**3),
    "mb": Decimal(10**6),
    "gb": Decimal(10**9),
    "tb": Decimal(10**12),
}
_SECOND_UNITS = {
    "": Decimal(1),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3_600),
    "d": Decimal(86_400),
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_USER_KEYS = frozenset({"name", "access_key", "secret_key", "secret_key_file"})


def load_settings(
    *,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    config_file: Path | None = None,
) -> Settings:
    """Build the settings; flags are by name of setting and hold only what was given.

    Raises `StartRefused` with every fault found in any source.
    """
    faults: list[str] = []
    file = config_file or (Path(environ[CONFIG_ENV]) if environ.get(CONFIG_ENV) else None)
    values: dict[str, Any] = {}
    values.update(_read_file(file, faults) if file is not None else {})
    values.update(_read_environment(environ, faults))
    rows = {row.name: row for row in setting_rows()}
    for name, raw in flags.items():
        _put(values, rows[name], raw, rows[name].flag or "DIR", faults)
    if faults:
        raise StartRefused(*faults, next_step=_NEXT_STEP)
    return build_settings(values)


def parse_bytes(text: str) -> int:
    """Read a size: `16384`, `16KiB`, `1.5 GiB`, `10MB`. Raises ValueError."""
    size = _quantity(text, _BYTE_UNITS, "a size such as 16384, 16KiB or 4MiB")
    if size != int(size):
        msg = "is not a whole number of bytes"
        raise ValueError(msg)
    return int(size)


def parse_seconds(text: str) -> float:
    """Read a duration: `30`, `250ms`, `30s`, `5m`, `12h`, `7d`. Raises ValueError."""
    return float(_quantity(text, _SECOND_UNITS, "a duration such as 30, 250ms, 5m, 12h or 7d"))


def _quantity(text: str, units: Mapping[str, Decimal], wanted: str) -> Decimal:
    match = _QUANTITY.fullmatch(text.strip())
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        msg = f"is not {wanted}"
        raise ValueError(msg)
    return Decimal(match[1]) * factor


def _texts(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(item.strip() for item in raw.split(",") if item.strip())
    if isinstance(raw, (list, tuple)) and all(isinstance(item, (str, Path)) for item in raw):
        return tuple(str(item) for item in raw)
    msg = "is not a list of texts"
    raise ValueError(msg)


def _text(raw: object) -> str:
    if isinstance(raw, (str, Path)):
        return str(raw)
    msg = "is not a text"
    raise ValueError(msg)


def _flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word not in _TRUE | _FALSE:
        msg = "is neither true nor false"
        raise ValueError(msg)
    return word in _TRUE


def _count(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().isascii() and raw.strip().isdigit():
        return int(raw)
    msg = "is not a whole number"
    raise ValueError(msg)


def _bytes(raw: object) -> int:
    return parse_bytes(raw) if isinstance(raw, str) else _count(raw)


def _seconds(raw: object) -> float:
    if isinstance(raw, str):
        return parse_seconds(raw)
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw)
    msg = "is not a number of seconds"
    raise ValueError(msg)


def _users(raw: object) -> tuple[UserSettings, ...]:
    if not isinstance(raw, list):
        msg = "is not a list of tables: write [[users]] above each"
        raise ValueError(msg)  # noqa: TRY004 - all faults of a value are one kind here
    return tuple(_user(entry, number) for number, entry in enumerate(raw, 1))


def _user(entry: object, number: int) -> UserSettings:
    where = f"entry {number}"
    if not isinstance(entry, dict) or not all(isinstance(item, str) for item in entry.values()):
        msg = f"{where} is not a table of texts"
        raise ValueError(msg)
    unknown = sorted(set(entry) - _USER_KEYS)
    if unknown:
        msg = f"{where} has the unknown name {unknown[0]}{_suggestion(unknown[0], _USER_KEYS)}"
        raise ValueError(msg)
    if not entry.get("name") or not entry.get("access_key"):
        msg = f"{where} needs `name` and `access_key`"
        raise ValueError(msg)
    if ("secret_key" in entry) == ("secret_key_file" in entry):
        msg = f"{where} needs either `secret_key` or `secret_key_file`"
        raise ValueError(msg)
    secret = entry.get("secret_key") or _first_line(entry.get("secret_key_file", ""))
    return UserSettings(
        name=entry["name"], access_key=entry["access_key"], secret_key=Secret(secret)
    )


_PARSERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.PATH: lambda raw: Path(_text(raw)).expanduser() if _text(raw) else None,
    Kind.PATHS: lambda raw: tuple(Path(item).expanduser() for item in _texts(raw)),
    Kind.ADDRESS: _text,
    Kind.TEXT: _text,
    Kind.TEXTS: _texts,
    Kind.SECRET: lambda raw: Secret(_text(raw)),
    Kind.FLAG: _flag,
    Kind.COUNT: _count,
    Kind.BYTES: _bytes,
    Kind.SECONDS: _seconds,
    Kind.CHOICE: lambda raw: _text(raw).lower(),
    Kind.USERS: _users,
}


def _put(
    values: dict[str, Any], row: SettingRow, raw: object, source: str, faults: list[str]
) -> None:
    try:
        values[row.name] = _PARSERS[row.kind](raw)
    except ValueError as error:
        shown = "" if row.kind in {Kind.SECRET, Kind.USERS} else f" {raw!r}"
        faults.append(f"{source}:{shown} {error}")


def _read_file(file: Path, faults: list[str]) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        faults.append(f"cannot read the settings file {file}: {error.strerror}")
        return {}
    except ValueError as error:  # TOML and UTF-8 faults both
        faults.append(f"{file} is not valid TOML: {error}")
        return {}
    return _read_named(document, {row.name: row for row in setting_rows()}, f"{file}: ", faults)


def _read_environment(environ: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    rows = {row.env: row for row in setting_rows() if row.env}
    given = {
        name: text
        for name, text in environ.items()
        if name.startswith("OBJSTORE_") and name != CONFIG_ENV
    }
    return _read_named(given, rows, "", faults)


def _read_named(
    given: Mapping[str, Any], rows: Mapping[str, SettingRow], where: str, faults: list[str]
) -> dict[str, Any]:
    """Read one source whose names are the keys of `rows`; `<name>_file` reads the value from a file."""
    values: dict[str, Any] = {}
    for name, raw in given.items():
        row = rows.get(name)
        if row is not None:
            _put(values, row, raw, where + name, faults)
            continue
        from_file = rows.get(name[: -len("_file")]) if name.lower().endswith("_file") else None
        if from_file is None or not from_file.takes_file:
            faults.append(f"{where}{name} is not a setting{_suggestion(name, _known_names(rows))}")
        elif name[: -len("_file")] in given:
            faults.append(
                f"{where}{name} and {name[: -len('_file')]} are both given: leave one out"
            )
        else:
            _put_from_file(values, from_file, str(raw), where + name, faults)
    return values


def _put_from_file(
    values: dict[str, Any], row: SettingRow, file: str, source: str, faults: list[str]
) -> None:
    try:
        values[row.name] = _PARSERS[row.kind](_first_line(file))
    except ValueError as error:
        faults.append(f"{source}: {error}")


def _first_line(file: str) -> str:
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise ValueError(msg) from error
    line = text.split("\n", 1)[0].strip()
    if not line:
        msg = f"the first line of {file} is empty"
        raise ValueError(msg)
    return line


def _known_names(rows: Mapping[str, SettingRow]) -> list[str]:
    files = [
        name + ("_FILE" if name.isupper() else "_file")
        for name, row in rows.items()
        if row.takes_file
    ]
    return [*rows, *files]


def _suggestion(name: str, known: object) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)  # type: ignore[call-overload]
    return f" (did you mean {near[0]}?)" if near else ""

"""Renders docs/settings.md from the table of settings; `make docs` writes it, a test compares it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from objstore.server.settings import Kind, Secret, SettingRow, setting_rows

__all__ = ["settings_page"]

_OPENING = """\
# Settings

Made from the table in `objstore/server/settings.py` by `make docs`; do not edit by hand.

A setting has one name in the TOML file (`objstore-node serve --config FILE`, or `OBJSTORE_CONFIG=FILE`), in the
environment and on the command line. The command line wins over the environment, the environment over the file, the
file over the default. Unknown names are refused. Sizes are numbers of bytes or texts such as `16KiB`, `4MiB`, `10GB`;
durations are numbers of seconds or texts such as `250ms`, `30s`, `5m`, `7d`. Lists are TOML lists, comma-separated in
the environment, and repeated flags on the command line.

`root_access_key` and `root_secret_key` may also be read from files: `root_secret_key_file` in TOML,
`OBJSTORE_ROOT_SECRET_KEY_FILE` in the environment. Users have no environment name: they are tables of the file.

    [[users]]
    name = "alice"
    access_key = "ALICE"
    secret_key_file = "/run/secrets/alice"

"""
_TITLES = {
    "listen": "Where and how connections are taken",
    "s3": "What clients are told and what is taken from them",
    "storage": "Where the bytes live and how they are cut",
    "access": "Keys known from the start",
    "log": "What is told to standard error",
    "": "The node as a whole",
}


def settings_page() -> str:
    """Return the whole page."""
    return _OPENING + "\n".join(_sections())


def _sections() -> Iterator[str]:
    for group, rows in groupby(setting_rows(), key=lambda row: row.group):
        yield f"## {_TITLES[group]}\n"
        for row in rows:
            yield _entry(row)


def _entry(row: SettingRow) -> str:
    names = [f"`{row.env}`"] if row.env else []
    if row.flag:
        names.append(f"`{row.flag}`")
    elif row.kind is Kind.PATHS:
        names.append("`DIR...`")
    kind = " or ".join(f"`{choice}`" for choice in row.choices) or row.kind.value
    lines = [f"### `{row.name}`", "", row.meaning, ""]
    lines.append(f"- Kind: {kind}. Default: {_default(row)}.")
    if names:
        lines.append(f"- Also: {', '.join(names)}.")
    if row.danger:
        lines.append(f"- Danger: {row.danger}")
    return "\n".join([*lines, ""])


def _default(row: SettingRow) -> str:
    value = row.default
    if value in (None, "", (), Secret("")):
        return "none"
    if row.kind is Kind.FLAG:
        return f"`{str(value).lower()}`"
    if row.kind is Kind.SECONDS:
        return f"`{value:g}`"
    return f"`{value}`"


if __name__ == "__main__":
    Path("docs/settings.md").write_text(settings_page(), encoding="utf-8")

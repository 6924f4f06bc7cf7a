"""Arguments that several operations share: version ids, part numbers, page sizes - with S3's own refusals."""

from __future__ import annotations

import re
from typing import Final

from objstore.model.errors import InvalidArgument
from objstore.model.limits import LIST_KEYS_MAX, PARTS_MAX, VERSION_ID_BYTES_MAX
from objstore.model.names import VersionId

__all__ = [
    "invalid_argument",
    "parse_count",
    "parse_page_size",
    "parse_part_number",
    "parse_version_id",
]

INT32_MAX: Final = 2**31 - 1

_VERSION_ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{VERSION_ID_BYTES_MAX}}}", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def invalid_argument(text: str, *, name: str, value: str) -> InvalidArgument:
    """Build S3's error for a bad argument, with the argument in it."""
    return InvalidArgument(text, argument_name=name, argument_value=value)


def parse_version_id(text: str, *, name: str = "versionId") -> VersionId:
    """Judge the form of a version id; whether it exists is another question (s3 rule 4.15.6).

    Raises `InvalidArgument`, also on buckets that never had versions.
    """
    if not text:
        raise invalid_argument("Version id cannot be the empty string", name=name, value=text)
    if _VERSION_ID.fullmatch(text) is None:
        raise invalid_argument("Invalid version id specified", name=name, value=text)
    return VersionId(text)


def parse_part_number(text: str | None) -> int:
    """Read a part number from 1 to 10,000. Raises `InvalidArgument` (s3 rules 4.11.3, 4.2.6)."""
    number = _integer(text or "")
    if number is None or not 1 <= number <= PARTS_MAX:
        raise invalid_argument(
            f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
            name="partNumber",
            value=text or "",
        )
    return number


def parse_count(text: str | None, *, name: str, default: int, at_least: int = 0) -> int:
    """Read a number up to 2^31 - 1; absent or empty means the default. Raises `InvalidArgument` (s3 rule 5.1.6)."""
    if not text:
        return default
    number = _integer(text)
    if number is None or not at_least <= number <= INT32_MAX:
        raise invalid_argument(
            f"Argument {name} must be an integer between {at_least} and {INT32_MAX}",
            name=name,
            value=text,
        )
    return number


def parse_page_size(text: str | None, *, name: str, at_least: int = 0) -> int:
    """Read max-keys and its relatives; more than a page holds is served, and echoed, as a page (s3 rule 5.1.6)."""
    return min(
        LIST_KEYS_MAX, parse_count(text, name=name, default=LIST_KEYS_MAX, at_least=at_least)
    )


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) is not None else None

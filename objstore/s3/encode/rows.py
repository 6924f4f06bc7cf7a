"""The rows of a page: the part of a listing that has to be fast.

A page of 1,000 keys is rendered in one pass of f-strings. What repeats from row to row - dates, storage classes,
owners, checksum kinds - is rendered once per page, and whether any key needs escaping is found out with one look at
all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from objstore.model.instant import MS_PER_DAY, MS_PER_SECOND, Instant
from objstore.s3.dates import iso_date
from objstore.s3.encode.documents import LISTED_AS_THEY_ARE, encode_url
from objstore.s3.outputs import ListRow, VersionRow
from objstore.s3.xml import escape_text, tag

__all__ = ["common_prefixes", "contents", "names", "versions"]


_NEVER_IN_UTF8: Final = b"\xff"
_PERCENT: Final = ord("%")
_MINUTES_PER_DAY: Final = 24 * 60
_MINUTES: Final = [f"{minute // 60:02}:{minute % 60:02}:" for minute in range(_MINUTES_PER_DAY)]
_SECONDS: Final = [f"{second:02}.000Z" for second in range(60)]


def names(keys: Sequence[bytes], *, encodes_url: bool) -> list[str]:
    """Return the keys as they stand in the document."""
    if encodes_url:
        return _url_names(keys)
    texts = [key.decode("utf-8", "replace") for key in keys]
    whole = "".join(texts)
    if escape_text(whole) == whole:
        return texts
    return [escape_text(text) for text in texts]


def _url_names(keys: Sequence[bytes]) -> list[str]:
    """Encode all keys at once: one replacement for each byte value that needs it, over the joined keys.

    The separator is a byte that UTF-8 never uses, and the percent sign is replaced before any is written.
    """
    whole = _NEVER_IN_UTF8.join(keys)
    found = set(whole.translate(None, LISTED_AS_THEY_ARE + _NEVER_IN_UTF8))
    if not keys or whole.count(_NEVER_IN_UTF8) != len(keys) - 1:
        return [encode_url(key) for key in keys]
    for byte in sorted(found, key=lambda byte: (byte != _PERCENT, byte)):
        whole = whole.replace(bytes((byte,)), b"%%%02X" % byte)
    return [key.decode("ascii") for key in whole.split(_NEVER_IN_UTF8)]


def contents(rows: Sequence[ListRow], *, encodes_url: bool, shows_owner: bool) -> str:
    """Return the `<Contents>` of a page (s3 rule 5.1.13)."""
    dates, kinds, tails = _Dates(), _Kinds(), _Tails(shows_owner=shows_owner)
    keys = names([row[0] for row in rows], encodes_url=encodes_url)
    return "".join(
        [
            f"<Contents><Key>{key}</Key><LastModified>{dates[modified // MS_PER_SECOND]}"
            f"</LastModified><ETag>&quot;{etag}&quot;</ETag>{kinds[algorithm, kind]}"
            f"<Size>{size}</Size>{tails[storage_class, owner]}</Contents>"
            for key, (_, modified, etag, size, storage_class, algorithm, kind, owner) in zip(
                keys, rows, strict=True
            )
        ]
    )


def versions(rows: Sequence[VersionRow], *, encodes_url: bool) -> str:
    """Return `<Version>` and `<DeleteMarker>` in the order of the rows (s3 rules 5.4.1, 5.4.2)."""
    dates, kinds, tails = _Dates(), _Kinds(), _Tails(shows_owner=True)
    keys = names([row[0] for row in rows], encodes_url=encodes_url)
    return "".join(
        [
            f"<DeleteMarker><Key>{key}</Key><VersionId>{version_id}</VersionId>"
            f"<IsLatest>{'true' if latest else 'false'}</IsLatest>"
            f"<LastModified>{dates[modified // MS_PER_SECOND]}</LastModified>"
            f"{tails['', owner]}</DeleteMarker>"
            if gone
            else f"<Version><Key>{key}</Key><VersionId>{version_id}</VersionId>"
            f"<IsLatest>{'true' if latest else 'false'}</IsLatest>"
            f"<LastModified>{dates[modified // MS_PER_SECOND]}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag>{kinds[algorithm, kind]}"
            f"<Size>{size}</Size>{tails[storage_class, owner]}</Version>"
            for key, (
                _,
                modified,
                etag,
                size,
                storage_class,
                algorithm,
                kind,
                owner,
                version_id,
                latest,
                gone,
            ) in zip(keys, rows, strict=True)
        ]
    )


def common_prefixes(prefixes: Iterable[bytes], *, encodes_url: bool) -> str:
    """Return the `<CommonPrefixes>` of a page, one element for each (s3 rule 5.1.3)."""
    texts = names(list(prefixes), encodes_url=encodes_url)
    return "".join([f"<CommonPrefixes><Prefix>{text}</Prefix></CommonPrefixes>" for text in texts])


class _Dates(dict[int, str]):
    """Text of every second that occurs on the page, put together from its day, its minute and its second."""

    def __init__(self) -> None:
        super().__init__()
        self._days: dict[int, str] = {}

    def __missing__(self, instant_s: int) -> str:
        minutes, second = divmod(instant_s, 60)
        day, minute = divmod(minutes, _MINUTES_PER_DAY)
        date = self._days.get(day)
        if date is None:
            midnight = iso_date(Instant(day * MS_PER_DAY))
            date = self._days[day] = midnight[: midnight.index("T") + 1]
        text = self[instant_s] = date + _MINUTES[minute] + _SECONDS[second]
        return text


class _Kinds(dict[tuple[str | None, str | None], str]):
    """Elements of every pair of checksum algorithm and type on the page; empty for no algorithm."""

    def __missing__(self, pair: tuple[str | None, str | None]) -> str:
        algorithm, kind = pair
        text = ""
        if algorithm:
            text = f"<ChecksumAlgorithm>{algorithm.upper()}</ChecksumAlgorithm>"
            text += f"<ChecksumType>{kind or 'FULL_OBJECT'}</ChecksumType>"
        self[pair] = text
        return text


class _Tails(dict[tuple[str, str], str]):
    """Owner and storage class of every pair on the page; an empty class leaves its element out."""

    def __init__(self, *, shows_owner: bool) -> None:
        super().__init__()
        self._shows_owner = shows_owner

    def __missing__(self, pair: tuple[str, str]) -> str:
        storage_class, owner = pair
        text = f"<Owner>{tag('ID', owner)}</Owner>" if self._shows_owner else ""
        if storage_class:
            text += tag("StorageClass", storage_class)
        self[pair] = text
        return text

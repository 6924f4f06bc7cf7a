"""The rows of a page: the part of a listing that has to be fast.

A page of 1,000 keys is rendered in one pass of f-strings. What repeats from row to row - dates, storage classes,
owners, checksum kinds - is rendered once per page, and whether any key needs escaping is found out with one look at
all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from objstore.model.instant import MS_PER_SECOND, Instant
from objstore.s3.dates import iso_date
from objstore.s3.encode.documents import encode_url
from objstore.s3.outputs import ListRow, VersionRow
from objstore.s3.xml import escape_text, tag

__all__ = ["common_prefixes", "contents", "names", "versions"]


def names(keys: Sequence[bytes], *, encodes_url: bool) -> list[str]:
    """Return the keys as they stand in the document."""
    if encodes_url:
        return [encode_url(key) for key in keys]
    texts = [key.decode("utf-8", "replace") for key in keys]
    whole = "".join(texts)
    if escape_text(whole) == whole:
        return texts
    return [escape_text(text) for text in texts]


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
    page = _Dates(), _Kinds(), _Tails(shows_owner=True)
    keys = names([row[0] for row in rows], encodes_url=encodes_url)
    return "".join([_version(key, row, page) for key, row in zip(keys, rows, strict=True)])


def _version(key: str, row: VersionRow, page: tuple[_Dates, _Kinds, _Tails]) -> str:
    _, modified, etag, size, storage_class, algorithm, kind, owner, version_id, latest, gone = row
    dates, kinds, tails = page
    common = (
        f"<Key>{key}</Key><VersionId>{version_id}</VersionId>"
        f"<IsLatest>{'true' if latest else 'false'}</IsLatest>"
        f"<LastModified>{dates[modified // MS_PER_SECOND]}</LastModified>"
    )
    if gone:
        return f"<DeleteMarker>{common}{tails['', owner]}</DeleteMarker>"
    return (
        f"<Version>{common}<ETag>&quot;{etag}&quot;</ETag>{kinds[algorithm, kind]}"
        f"<Size>{size}</Size>{tails[storage_class, owner]}</Version>"
    )


def common_prefixes(prefixes: Iterable[bytes], *, encodes_url: bool) -> str:
    """Return the `<CommonPrefixes>` of a page, one element for each (s3 rule 5.1.3)."""
    texts = names(list(prefixes), encodes_url=encodes_url)
    return "".join([f"<CommonPrefixes><Prefix>{text}</Prefix></CommonPrefixes>" for text in texts])


class _Dates(dict[int, str]):
    """Text of every second that occurs on the page."""

    def __missing__(self, second: int) -> str:
        text = self[second] = iso_date(Instant(second * MS_PER_SECOND))
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

"""What a person reads: one line that moves while a case runs, and a table at the end. Pure: texts in, texts out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from objstore.server.bench.amounts import render_size
from objstore.server.bench.cases import CASES
from objstore.server.bench.figures import Figures

__all__ = ["error_lines", "progress_line", "table"]

_HEADINGS: Final = (
    "case",
    "size",
    "clients",
    "requests/s",
    "MB/s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
    "errors",
)
_TEXT_COLUMNS: Final = 2
_BAR_WIDTH: Final = 20
_KINDS_SHOWN: Final = 5


def table(rows: Iterable[Figures]) -> str:
    """Return the table, numbers aligned to the right, a rule under the headings and between cases."""
    cells = [(row.case, _cells(row)) for row in rows]
    widths = [
        max(len(line[column]) for line in (_HEADINGS, *(line for _, line in cells)))
        for column in range(len(_HEADINGS))
    ]
    rule = "  ".join("─" * width for width in widths)
    lines = [_aligned(_HEADINGS, widths)]
    before = None
    for case, line in cells:
        if case != before:
            lines.append(rule)
        before = case
        lines.append(_aligned(line, widths))
    return "\n".join(lines)


def error_lines(rows: Iterable[Figures]) -> list[str]:
    """Return the most frequent kinds of errors, one a line."""
    kinds: Counter[str] = Counter()
    for row in rows:
        for kind, times in row.error_kinds.items():
            kinds[f"{row.case}: {kind}"] += times
    return [f"{times:>8,} x {kind}" for kind, times in kinds.most_common(_KINDS_SHOWN)]


def progress_line(
    title: str, *, elapsed_s: float, duration_s: float, done: int | None, errors: int
) -> str:
    """Return the line that a terminal shows while a case runs; `done` is unknown with several processes."""
    share = min(1.0, elapsed_s / duration_s) if duration_s else 1.0
    filled = round(share * _BAR_WIDTH)
    bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
    rate = "" if not done or elapsed_s <= 0 else f"  {done / elapsed_s:,.0f}/s"
    faults = f"  {errors:,} errors" if errors else ""
    return f"{title:<28} {bar} {elapsed_s:4.1f}/{duration_s:g} s{rate}{faults}"


def _cells(row: Figures) -> tuple[str, ...]:
    is_about_bytes = row.mb_per_s > 0
    has_size = CASES[row.case].is_sized if row.case in CASES else True
    return (
        row.case,
        render_size(row.size_bytes) if has_size else "",
        str(row.concurrency),
        _number(row.requests_per_s),
        _number(row.mb_per_s) if is_about_bytes else "",
        *(_number(value) for value in (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms)),
        f"{row.errors:,}",
    )


def _number(value: float) -> str:
    """Return about three digits that mean something: 12,345 / 123 / 12.3 / 1.23."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell.ljust(width) if column < _TEXT_COLUMNS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()

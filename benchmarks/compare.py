"""Compares two files of figures: for each measurement and metric the medians, their ratio and the spread.

    python benchmarks/compare.py BEFORE.jsonl AFTER.jsonl

Several lines of the same measurement in one file (--rounds N, or appended runs) are repetitions: the spread is
(largest - smallest) / median of them. A ratio within the spreads is noise. `better` and `worse` are only said when the ranges of
both files do not overlap; with one line a file nothing is said, since nothing is known about the noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

# Metric and whether more is better.
METRICS = {
    "requests_per_s": True,
    "mb_per_s": True,
    "p50_ms": False,
    "p90_ms": False,
    "p99_ms": False,
    "errors": False,
    "rss_mb": False,
    "pss_mb": False,
}
Name = tuple[str, str]


def load(path: Path) -> dict[Name, list[float]]:
    """Return the values of each measurement and metric, in the order of the file."""
    found: dict[Name, list[float]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        row = json.loads(line)
        case = " ".join(str(row[key]) for key in ("case", "size") if key in row)
        if "concurrency" in row:
            case += f" c{row['concurrency']}" + (
                f" p{row['processes']}" if row["processes"] > 1 else ""
            )
        metrics = METRICS if "concurrency" in row or "rss_mb" in row else {"seconds": False}
        for metric in metrics:
            if metric in row:
                found[case, metric].append(row[metric])
    return found


def spread(values: list[float]) -> float:
    """Return the range of the values over their median, in percent."""
    middle = statistics.median(values)
    return 100 * (max(values) - min(values)) / middle if middle else 0.0


def verdict(before: list[float], after: list[float], *, more_is_better: bool) -> str:
    """Say better or worse where the ranges do not overlap and there are repetitions to know them by."""
    if min(len(before), len(after)) < 2:
        return ""
    if min(after) > max(before):
        return "better" if more_is_better else "worse"
    if max(after) < min(before):
        return "worse" if more_is_better else "better"
    return ""


def compare(before: dict[Name, list[float]], after: dict[Name, list[float]]) -> list[str]:
    """Return the table, one line per metric that both files have and that is not zero in both."""
    heading = f"{'measurement':<24} {'metric':<15} {'before':>10} {'after':>10} {'ratio':>7}"
    lines = [f"{heading} {'spread':>13}  runs"]
    for name, olds in before.items():
        news = after.get(name)
        if not news or not (any(olds) or any(news)):
            continue
        old, new = statistics.median(olds), statistics.median(news)
        ratio = f"{new / old:.3f}" if old else "new"
        said = verdict(olds, news, more_is_better=METRICS.get(name[1], False))
        spreads = f"{spread(olds):.0f} % / {spread(news):.0f} %"
        lines.append(
            f"{name[0]:<24} {name[1]:<15} {old:>10,.2f} {new:>10,.2f} {ratio:>7}"
            f" {spreads:>13}  {len(olds)}/{len(news)} {said}".rstrip()
        )
    alone = sorted({case for case, _ in before} ^ {case for case, _ in after})
    lines += [f"{case:<24} only in one of the files" for case in alone]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    print("\n".join(compare(load(arguments.before), load(arguments.after))))


if __name__ == "__main__":
    main()

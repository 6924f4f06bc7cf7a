"""Tables and plots of the lines of growth_bench.py, for docs/performance.md.

    python benchmarks/growth_plots.py LINES.jsonl... [--docs DIR]

Writes docs/images/growth-*.svg, and in docs/performance.md what stands between the markers of each chart; what the curves
mean is said around the markers, by hand. Of several lines of a point that of least cost counts, of peaks of memory the largest.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parents[1] / "docs"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LEFT, TOP, WIDTH, HEIGHT = 78, 40, 430, 260
LEGEND, BELOW = 270, 60
Rows = dict[str, dict[int, dict]]
"""Of each operation, by x, the line of the point."""


class Chart(NamedTuple):
    case: str
    title: str
    x_label: str
    y: str = "cpu_us"
    is_log_x: bool = True
    slope_unit: str = ""
    """MiB or KiB: the table states the slope in it, for one more of x."""

    @property
    def file_name(self) -> str:
        return f"growth-{self.case.replace(' ', '-')}.svg"

    @property
    def y_label(self) -> str:
        return "CPU of the server, µs/request" if self.y == "cpu_us" else "memory, MiB"


CHARTS = (
    Chart("keys", "A bucket grows", "keys in the bucket"),
    Chart("store", "The store grows, the bucket does not", "objects on the store"),
    Chart("versions", "Versions of a key", "versions of each key"),
    Chart("parts", "Parts of an upload", "parts"),
    Chart("connections", "Active connections, 4 KiB", "connections"),
    Chart("directories", "Directories", "directories"),
    Chart("memory size", "Peak of memory, 4 connections", "MiB of an object", "rss_mib"),
    Chart(
        "memory connections",
        "Peak of memory, objects of 1 MiB",
        "active connections",
        "rss_mib",
        is_log_x=False,
        slope_unit="MiB",
    ),
    Chart(
        "connections idle",
        "Memory with idle connections",
        "idle connections",
        "rss_mib",
        is_log_x=False,
        slope_unit="KiB",
    ),
)


class Axis(NamedTuple):
    """Values to positions, from `start` on over `length`; a negative length goes up."""

    low: float
    high: float
    is_log: bool
    start: float
    length: float

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / (high - low) * self.length, 1)

    def ticks(self) -> list[float]:
        """Return round numbers: of a logarithmic axis 1, 2, 5, ..., or 1, 3, 10, ... where it is long."""
        if self.is_log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            leading = (1, 2, 5) if self.high < 200 * self.low else (1, 3)
            every = [digit * 10.0**decade for decade in decades for digit in leading]
        else:
            rough = (self.high - self.low) / 5
            step = next(
                digit * 10 ** math.floor(math.log10(rough))
                for digit in (1, 2, 5, 10)
                if digit * 10 ** math.floor(math.log10(rough)) >= rough
            )
            every = [number * step for number in range(12)]
        return [tick for tick in every if self.low <= tick <= self.high]


def axes(chart: Chart, rows: Rows) -> tuple[Axis, Axis]:
    xs = [x for points in rows.values() for x in points]
    ys = [line[chart.y] for points in rows.values() for line in points.values()]
    is_log_y = chart.y == "cpu_us"
    x_low = min(xs) if chart.is_log_x else 0
    across = Axis(x_low, max(*xs, x_low + 1), chart.is_log_x, LEFT, WIDTH)
    y_low = min(ys) / 1.5 if is_log_y else 0
    return across, Axis(
        y_low, max(ys) * (1.5 if is_log_y else 1.15), is_log_y, TOP + HEIGHT, -HEIGHT
    )


def svg(chart: Chart, rows: Rows) -> str:
    across, up = axes(chart, rows)
    bottom = TOP + HEIGHT
    middle = 'text-anchor="middle"'
    size = f'width="{LEFT + WIDTH + LEGEND}" height="{bottom + BELOW}"'
    upright = f"translate(16,{TOP + HEIGHT / 2}) rotate(-90)"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(LEFT, 22, chart.title, 'font-size="15" font-weight="bold"'),
        text(LEFT + WIDTH / 2, bottom + 42, chart.x_label, middle),
        f'<g transform="{upright}">{text(0, 0, chart.y_label, middle)}</g>',
    ]
    for tick in across.ticks():
        at = across.at(tick)
        parts.append(f'<path d="M{at} {TOP}V{bottom}" stroke="#e4e4e4"/>')
        parts.append(text(at, bottom + 18, number(tick), middle))
    for tick in up.ticks():
        at = up.at(tick)
        parts.append(f'<path d="M{LEFT} {at}H{LEFT + WIDTH}" stroke="#e4e4e4"/>')
        parts.append(text(LEFT - 8, at + 4, number(tick), 'text-anchor="end"'))
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{LEFT + WIDTH}" fill="none" stroke="#444"/>')
    last = {name: points[max(points)][chart.y] for name, points in rows.items()}
    for rank, name in enumerate(sorted(rows, key=lambda name: -last[name])):
        places = [(across.at(x), up.at(line[chart.y])) for x, line in sorted(rows[name].items())]
        parts += curve(places, COLOURS[rank % len(COLOURS)], (rank, name))
    return "\n".join([*parts, "</svg>", ""])


def curve(places: list[tuple[float, float]], colour: str, named: tuple[int, str]) -> list[str]:
    """Draw a line with its points, and its entry in the legend."""
    rank, name = named
    left, high = LEFT + WIDTH + 20, TOP + 10 + 22 * rank
    line = " ".join(f"{x},{y}" for x, y in places)
    return [
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places),
        f'<path d="M{left} {high}h20" stroke="{colour}" stroke-width="3"/>',
        text(left + 26, high + 4, name),
    ]


def text(x: float, y: float, content: str, attributes: str = "") -> str:
    return f'<text x="{x}" y="{y}" {attributes}>{escape(content)}</text>'


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def table(chart: Chart, rows: Rows) -> list[str]:
    xs = sorted({x for points in rows.values() for x in points})
    last = f"{chart.slope_unit} for each" if chart.slope_unit else "last / first"
    lines = [
        "| " + " | ".join([chart.x_label, *map(number, xs), last]) + " |",
        "|---" * (len(xs) + 2) + "|",
    ]
    for name, points in rows.items():
        cells = [cell(chart, points.get(x)) for x in xs]
        grown = points[max(points)][chart.y] / points[min(points)][chart.y]
        end = f"{slope(chart, points):.2f}" if chart.slope_unit else f"{grown:.2f}"
        lines.append("| " + " | ".join([name, *cells, end]) + " |")
    return lines


def cell(chart: Chart, line: dict | None) -> str:
    if line is None:
        return ""
    if chart.y != "cpu_us":
        return number(line[chart.y])
    return f"{number(line['cpu_us'])} ({line['p50_ms']:.3g})"


def slope(chart: Chart, points: dict[int, dict]) -> float:
    """Return the slope of the straight line nearest to the points (least squares)."""
    x_mean = sum(points) / len(points)
    ys = {x: line[chart.y] for x, line in points.items()}
    y_mean = sum(ys.values()) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in points)
    found = sum((x - x_mean) * (y - y_mean) for x, y in ys.items()) / spread
    return found * 1024 if chart.slope_unit == "KiB" else found


def load(paths: list[Path]) -> dict[str, Rows]:
    cases: dict[str, Rows] = {}
    for path in paths:
        for raw in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(raw)
            if "x" not in line:
                continue
            points = cases.setdefault(line["case"], {}).setdefault(line["operation"], {})
            known = points.get(line["x"])
            if known is None or is_better(line, known):
                points[line["x"]] = line
    return cases


def is_better(line: dict, known: dict) -> bool:
    """Tell which line of a point counts: of peaks of memory the largest, else that of least cost."""
    if "memory" in line["case"]:
        return line["rss_mib"] > known["rss_mib"]
    return line.get("cpu_us", 0) < known.get("cpu_us", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lines", type=Path, nargs="+")
    parser.add_argument("--docs", type=Path, default=DOCS)
    arguments = parser.parse_args()
    cases = load(arguments.lines)
    page = arguments.docs / "performance.md"
    content = page.read_text(encoding="utf-8")
    (arguments.docs / "images").mkdir(exist_ok=True)
    for chart in CHARTS:
        rows = cases.get(chart.case)
        if not rows:
            continue
        image = arguments.docs / "images" / chart.file_name
        image.write_text(svg(chart, rows), encoding="utf-8")
        begin, end = f"<!-- growth {chart.case} -->", f"<!-- end growth {chart.case} -->"
        before, _, rest = content.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{page} lacks the markers {begin} and {end}")
        image_line = f"![{chart.title}](images/{chart.file_name})"
        shown = ["", *table(chart, rows), "", image_line, ""]
        content = "\n".join([before + begin, *shown, end]) + after
    page.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

"""The comparison of two runs: medians, noise, and no verdict without repetitions."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[4] / "benchmarks" / "compare.py"


@pytest.fixture
def compare():
    """The script, loaded as a module."""
    spec = importlib.util.spec_from_file_location("bench_compare", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(path: Path, *rates: float) -> Path:
    rows = [
        {"case": "put", "size": "4KiB", "concurrency": 1, "processes": 1, "requests_per_s": rate}
        for rate in rates
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_repetitions_give_median_and_spread(compare, tmp_path) -> None:
    """One lucky run is no improvement."""
    before = compare.load(lines(tmp_path / "a", 100, 110, 90))
    after = compare.load(lines(tmp_path / "b", 150, 130, 140))
    (line,) = compare.compare(before, after)[1:]
    assert line.split() == [
        *("put", "4KiB", "c1", "requests_per_s", "100.00", "140.00", "1.400"),
        *("20", "%", "/", "14", "%", "3/3", "better"),
    ]


def test_overlapping_ranges_and_single_runs_get_no_verdict(compare) -> None:
    """Nothing is said that the figures do not say."""
    assert compare.verdict([100, 110], [105, 120], more_is_better=True) == ""
    assert compare.verdict([100], [200], more_is_better=True) == ""
    assert compare.verdict([1, 2], [3, 4], more_is_better=False) == "worse"


def test_what_only_one_file_has_is_named(compare, tmp_path) -> None:
    """A case that was dropped must not look like one without change."""
    before = compare.load(lines(tmp_path / "a", 100))
    assert "only in one" in compare.compare(before, {})[1]

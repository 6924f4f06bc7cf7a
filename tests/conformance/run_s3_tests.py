"""Runs the public S3 suite (ceph/s3-tests) from a clone of it, compares with our list, and writes docs/conformance.md.

    make conformance S3_TESTS=/path/to/s3-tests            compare; a test that passed once and fails now is an error
    make conformance S3_TESTS=... ARGS=--update            take today's results as the list
    make conformance S3_TESTS=... ARGS="-k multipart"      some tests only; nothing is written

Nothing of the suite is kept here but the names of its tests with our result and, for each one that does not pass, the reason.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from objstore.testing import S3Server

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = HERE / "s3_tests.txt"
REASONS = HERE / "s3_tests_reasons.toml"
PAGE = ROOT / "docs" / "conformance.md"
PYTHON = ROOT / ".venv-s3tests" / "bin" / "python"
FILES = ("s3tests/functional/test_headers.py", "s3tests/functional/test_s3.py")
USERS = ("main", "alt", "tenant", "iam")
KINDS = {
    "later": "Not built yet",
    "aws": "S3 itself answers otherwise",
    "foreign": "Extensions of another store",
    "unknown": "Not explained",
}


@dataclass(frozen=True)
class Reason:
    """Why tests of some names or markers do not pass."""

    kind: str
    text: str
    patterns: tuple[str, ...]
    markers: tuple[str, ...]

    def fits(self, name: str, markers: set[str]) -> bool:
        """Tell whether this explains a test."""
        return bool(markers & set(self.markers)) or any(re.search(p, name) for p in self.patterns)


def load_reasons() -> list[Reason]:
    """Read the table of reasons."""
    rows = tomllib.loads(REASONS.read_text())["reason"]
    return [
        Reason(r["kind"], r["text"], tuple(r.get("patterns", ())), tuple(r.get("markers", ())))
        for r in rows
    ]


def user_tables() -> str:
    """Return the static users that the suite signs in as."""
    return "".join(
        f'[[users]]\nname = "{name}"\naccess_key = "{name}-access-key"\n'
        f'secret_key = "{name}-secret-key-0001"\n'
        for name in USERS
    )


def suite_config(port: int) -> configparser.ConfigParser:
    """Return the suite's own configuration for our server."""
    config = configparser.ConfigParser(interpolation=None)
    config["DEFAULT"] = {
        "host": "localhost",
        "port": str(port),
        "is_secure": "False",
        "ssl_verify": "False",
    }
    config["fixtures"] = {
        "bucket prefix": "s3t-{random}-",
        "iam name prefix": "s3-tests-",
        "iam path prefix": "/s3-tests/",
    }
    for name in USERS:
        section = name if name == "iam" else f"s3 {name}"
        config[section] = {
            "display_name": name,
            "user_id": hashlib.sha256(f"objstore user {name}".encode()).hexdigest(),
            "email": f"{name}@example.com",
            "access_key": f"{name}-access-key",
            "secret_key": f"{name}-secret-key-0001",
        }
    config["s3 main"]["api_name"] = ""
    config["s3 tenant"]["tenant"] = "testx"
    for section in ("iam root", "iam alt root"):
        config[section] = {
            "access_key": "none",
            "secret_key": "none",
            "user_id": "none",
            "email": "n@example.com",
        }
    return config


def run_suite(suite: Path, extra: list[str]) -> Path:
    """Run the tests against a fresh server; return the JUnit file."""
    scratch = Path(tempfile.mkdtemp(prefix="objstore-conformance-"))
    report = scratch / "report.xml"
    with S3Server(config=user_tables()) as server:
        conf = scratch / "s3tests.conf"
        with conf.open("w") as file:
            suite_config(server.port).write(file)
        command = [
            str(PYTHON), "-m", "pytest", *FILES, "-q", "--timeout", "120", "-p", "no:cacheprovider",
            "--tb=line", f"--junitxml={report}", *extra,
        ]  # fmt: skip
        subprocess.run(command, cwd=suite, env=os.environ | {"S3TEST_CONF": str(conf)}, check=False)
    return report


def read_report(report: Path) -> dict[str, bool]:
    """Return name -> passed for every test that ran."""
    found: dict[str, bool] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
        found[name] = case.find("failure") is None and case.find("error") is None
    return found


def markers_of(suite: Path) -> dict[str, set[str]]:
    """Return the markers that stand above each test of the suite."""
    found: dict[str, set[str]] = {}
    for file in FILES:
        pending: set[str] = set()
        for line in (suite / file).read_text().splitlines():
            if match := re.match(r"@pytest\.mark\.(\w+)", line):
                pending.add(match[1])
            elif match := re.match(r"def (test_\w+)", line):
                found[f"{Path(file).stem}::{match[1]}"] = pending
                pending = set()
    return found


def explain(name: str, markers: set[str], reasons: list[Reason]) -> tuple[str, str]:
    """Return kind and text of the reason for a test that does not pass."""
    short = name.rsplit("::", maxsplit=1)[-1]
    for reason in reasons:
        if reason.fits(short, markers):
            return reason.kind, reason.text
    return "unknown", "not explained"


def read_list() -> dict[str, str]:
    """Return name -> `passed` or reason, as kept."""
    if not RESULTS.exists():
        return {}
    rows = (line.split("\t", 1) for line in RESULTS.read_text().splitlines() if line)
    return dict(rows)


def write_page(rows: dict[str, tuple[str, str]], commit: str) -> None:
    """Write docs/conformance.md."""
    by_reason = Counter(rows.values())
    passed = by_reason.pop(("passed", ""), 0)
    lines = [
        "# Conformance",
        "",
        (
            "Results of the public S3 suite ceph/s3-tests "
            f"(snapshot {commit}; `test_s3` and `test_headers`), made by `make conformance S3_TESTS=DIR`."
        ),
        f"The names with their results stand in `tests/conformance/{RESULTS.name}`.",
        "",
        f"**{passed} of {len(rows)} tests pass.** A test that passed once and fails later is an error.",
    ]
    for kind, title in KINDS.items():
        found = sorted(((n, t) for (k, t), n in by_reason.items() if k == kind), reverse=True)
        if not found:
            continue
        lines += ["", f"## {title}", "", "| Tests | Reason |", "|---|---|"]
        lines += [f"| {count} | {text} |" for count, text in found]
    PAGE.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path, help="clone of ceph/s3-tests")
    parser.add_argument("--update", action="store_true", help="take today's results as the list")
    args, extra = parser.parse_known_args()
    if not (args.suite / FILES[1]).exists():
        print(f"{args.suite} is no clone of ceph/s3-tests", file=sys.stderr)
        return 2
    found = read_report(run_suite(args.suite.resolve(), extra))
    before = read_list()
    lost = sorted(
        name for name, passed in found.items() if not passed and before.get(name) == "passed"
    )
    gained = sorted(
        name for name, passed in found.items() if passed and before.get(name) != "passed"
    )
    print(f"{sum(found.values())} passed, {len(found) - sum(found.values())} failed")
    for name in lost:
        print(f"LOST   {name}")
    for name in gained:
        print(f"GAINED {name}")
    if extra:
        return 1 if lost else 0
    if args.update or not lost:
        markers, reasons = markers_of(args.suite), load_reasons()
        rows = {
            name: ("passed", "") if passed else explain(name, markers.get(name, set()), reasons)
            for name, passed in sorted(found.items())
        }
        RESULTS.write_text(
            "".join(
                f"{n}\t{'passed' if k == 'passed' else f'{k}: {t}'}\n" for n, (k, t) in rows.items()
            )
        )
        commit = subprocess.run(
            ["git", "-C", str(args.suite), "log", "-1", "--format=%h of %as"],
            capture_output=True, text=True, check=False,
        ).stdout.strip()  # fmt: skip
        write_page(rows, commit or "unknown")
        for name, (kind, _) in rows.items():
            if kind == "unknown":
                print(f"NOT EXPLAINED {name}")
    return 1 if lost and not args.update else 0


if __name__ == "__main__":
    sys.exit(main())

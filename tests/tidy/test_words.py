"""Words and names that have no place in the project."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

TEXT_SUFFIXES = frozenset(
    {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".html", ".css", ".js", ".in", ".sh", ""}
)
# Written in pieces, so that this file does not find itself.
BANNED = re.compile(
    "|".join(
        (
            r"\bFIX" + "ME\\b",
            r"\bXX" + "X\\b",
            "not implemented " + "yet",
            "coming " + "soon",
            r"/wor" + "k/",
            r"/roo" + r"t/(?!\.)",
            r"\.\./sha" + "red",
        )
    ),
    re.IGNORECASE,
)
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"})


def test_no_banned_words(root, files) -> None:
    """Promises, notes to oneself and paths of one machine mean nothing to the reader."""
    found = []
    for path in files:
        name = PurePosixPath(path)
        if name.suffix not in TEXT_SUFFIXES or name.name == "LICENSE":
            continue
        for number, line in enumerate(
            (root / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1
        ):
            if BANNED.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    assert not found


def test_no_module_is_named_after_nothing(files) -> None:
    """A module called `utils` has no subject, so everything ends up in it."""
    named = [path for path in files if path.endswith(".py")]
    assert not [
        path
        for path in named
        if EMPTY_NAMES & {part.removesuffix(".py") for part in path.split("/")}
    ]

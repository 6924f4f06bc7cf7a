"""The fuzzing that every test run does: the whole corpus, sheer length, and three seconds of search for each parser.

`make fuzz` searches for longer. What it finds becomes a file of the corpus, with the fix.
"""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
PARSERS = (
    "authorization", "aws_chunked", "checksums", "copy_source", "dates", "document", "headers", "metadata", "presigned",
    "ranges", "tagging", "target", "tokens", "xml",
)  # fmt: skip
SEARCH_S = 3
PUMPED_BYTES = 256 * 1024
PUMPED_SECONDS_MAX = 5.0
"""Of processor time. Work that grows with the square of the length would be 64 billion steps."""
CORPUS_BYTES_MAX = 200 * 1024


def loaded(name: str):
    """Return a module of this folder."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def functions():
    """The parsers by name."""
    return loaded("parsers").PARSERS


def inputs(name: str) -> list[Path]:
    """Return the corpus of a parser."""
    return sorted((CORPUS / name).iterdir())


def test_every_parser_has_a_corpus(functions):
    """A parser without a corpus would be searched from nothing, and one without a name here not at all."""
    assert tuple(sorted(functions)) == PARSERS
    assert sorted(path.name for path in CORPUS.iterdir()) == list(PARSERS)
    assert all(inputs(name) for name in PARSERS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < CORPUS_BYTES_MAX


@pytest.mark.parametrize("name", PARSERS)
def test_the_corpus_ends_in_values_or_refusals(functions, name):
    """Each file was chosen, or was a finding once: none may come back as an exception of another kind."""
    for path in inputs(name):
        functions[name](path.read_bytes())


@pytest.mark.parametrize("name", PARSERS)
def test_length_costs_no_more_than_its_share(functions, name):
    """A quarter of a megabyte of one byte, or of one short piece, amid a good input: a square of it would stop the server."""
    fills = (
        b"a",
        b"0",
        b" ",
        b"/",
        b"%41",
        b"&a=1",
        b"<a>",
        b"\n",
        b"a:b\n",
        b",",
        b"=?",
        b"a/",
        b";",
        b"-",
    )
    longest = max((path.read_bytes() for path in inputs(name)), key=len)
    for fill in fills:
        run = fill * (PUMPED_BYTES // len(fill))
        for cut in (0, len(longest) // 3, 2 * len(longest) // 3, len(longest)):
            started = time.process_time()
            functions[name](longest[:cut] + run + longest[cut:])
            assert time.process_time() - started < PUMPED_SECONDS_MAX, (fill, cut)


@pytest.mark.parametrize("name", PARSERS)
def test_a_short_search_finds_nothing(name, tmp_path):
    """New code is met by inputs that nobody thought of before it is merged."""
    command = [sys.executable, str(HERE / "run.py"), "--seconds", str(SEARCH_S)]
    done = subprocess.run(
        [*command, "--findings", str(tmp_path), name],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " runs in " in done.stdout
    assert ("without coverage" in done.stdout) == (importlib.util.find_spec("atheris") is None)
    assert not list(tmp_path.iterdir())


def test_the_search_is_guided_where_it_can_be():
    """Blind mutations hardly get past the first check; on the machines that CI has, coverage guides them."""
    has_wheels = (sys.platform, platform.machine()) == ("linux", "x86_64")
    if has_wheels and sys.version_info < (3, 14):
        assert importlib.util.find_spec("atheris") is not None


def test_a_search_without_coverage_finds_a_fault(functions, monkeypatch, tmp_path):
    """Where no atheris is, damaged inputs are given to the same functions; a fault is kept and told."""
    run = loaded("run")

    faulty = SimpleNamespace(PARSERS={"ranges": lambda data: 1 // (b"=" in data)})
    monkeypatch.setattr(run, "load", lambda: faulty)
    with pytest.raises(ZeroDivisionError):
        run.mutate("ranges", 30, tmp_path)
    assert b"=" not in (tmp_path / "ranges-crash").read_bytes()
    monkeypatch.undo()
    assert run.mutate("ranges", 0, tmp_path) == 0

"""Lengths of functions and files. What does not fit a screen is not read by the next person."""

from __future__ import annotations

import ast
from collections.abc import Iterator

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
TEST_FILE_LINES_MAX = 900


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield the qualified name and the number of lines of every function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = prefix + node.name
            if not isinstance(node, ast.ClassDef):
                yield name, (node.end_lineno or node.lineno) - node.lineno + 1
            yield from functions(node, name + ".")
        else:
            yield from functions(node, prefix)


def test_no_function_is_longer_than_a_screen(sources, ratchet) -> None:
    """The exceptions stand in long_functions.txt, which may only shrink."""
    long = {
        f"{source.path}:{name}"
        for source in sources
        for name, lines in functions(source.tree)
        if lines > FUNCTION_LINES_MAX
    }
    allowed = ratchet("long_functions.txt")
    assert not long - allowed, "split these functions"
    assert not allowed - long, "these are short now: take them off long_functions.txt"


def test_no_file_is_too_long(sources, ratchet) -> None:
    """The exceptions stand in long_files.txt, which may only shrink."""
    long = {
        source.path
        for source in sources
        if source.lines_count
        > (TEST_FILE_LINES_MAX if source.path.startswith("tests/") else FILE_LINES_MAX)
    }
    allowed = ratchet("long_files.txt")
    assert not long - allowed, "split these files"
    assert not allowed - long, "these are short now: take them off long_files.txt"

"""Tests mirror the sources, packages say what they offer, and every test says why."""

from __future__ import annotations

import ast
import importlib
import re

BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match, ast.comprehension)


def module_name(path: str) -> str:
    """Return the dotted name of a source file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def has_logic(tree: ast.Module) -> bool:
    """Tell whether any function of a module decides or repeats something."""
    return any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and any(isinstance(part, BRANCHES) for part in ast.walk(node))
        for node in ast.walk(tree)
    )


def imported_names(tree: ast.Module) -> set[str]:
    """Return the dotted names of the modules that a file imports, or imports something of."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {home_of(node.module, alias.name) for alias in node.names}
    return names


def home_of(module: str, name: str) -> str:
    """Return the module that defines a name, where a package passes it on; else the name as a module."""
    if not module.startswith("objstore"):
        return module
    offered = getattr(importlib.import_module(module), name, None)
    return getattr(offered, "__module__", None) or f"{module}.{name}"


def test_every_module_with_logic_has_a_test_that_knows_it(sources, ratchet) -> None:
    """Either its mirror, tests/unit/<package>/test_<module>.py, or a test elsewhere that imports from it."""
    tested: set[str] = set()
    mirrors = []
    for source in sources:
        if source.path.startswith("tests/"):
            tested |= imported_names(source.tree)
            mirrors.append(source.path)
    untested = set()
    for source in sources:
        if not source.path.startswith("objstore/") or not has_logic(source.tree):
            continue
        name = module_name(source.path)
        package, _, module = name.removeprefix("objstore.").rpartition(".")
        mirror = f"tests/unit/{package.replace('.', '/')}/test_{module}"
        if name not in tested and not any(path.startswith(mirror) for path in mirrors):
            untested.add(name)
    allowed = ratchet("tested_through.txt")
    missing = sorted(untested - allowed)
    assert missing == [], "write a test for these modules"
    stale = sorted(allowed - untested)
    assert stale == [], "these have a test now: take them off tested_through.txt"


def test_unit_tests_lie_where_their_package_lies(sources) -> None:
    """Whoever changes a module looks for its tests in the folder of the same name."""
    packages = {
        source.path.rpartition("/")[0] for source in sources if source.path.startswith("objstore/")
    }
    folders = {
        source.path.rpartition("/")[0].replace("tests/unit", "objstore", 1)
        for source in sources
        if re.match(r"tests/unit/.*/test_", source.path)
    }
    beside_the_product = {"objstore/deploy"}
    assert not folders - packages - beside_the_product


def test_every_test_says_why_it_matters(sources) -> None:
    """A test whose purpose nobody knows is deleted or bent when it fails."""
    silent = [
        f"{source.path}:{node.name}"
        for source in sources
        if source.path.startswith("tests/")
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent


def test_every_module_opens_with_what_it_is(sources) -> None:
    """The first lines of a file decide whether it is the right one to read."""
    assert not [
        source.path for source in sources if source.text and not ast.get_docstring(source.tree)
    ]


def test_what_a_module_offers_exists_once(sources) -> None:
    """`__all__` is the public surface; a name in it that is missing breaks `import *` and trust."""
    for source in sources:
        if not source.path.startswith("objstore/") or source.path.endswith("__main__.py"):
            continue
        module = importlib.import_module(module_name(source.path))
        offered = getattr(module, "__all__", [])
        assert len(offered) == len(set(offered)), f"{source.path}: a name stands twice in __all__"
        missing = [name for name in offered if not hasattr(module, name)]
        assert not missing, f"{source.path}: __all__ names what is not there: {missing}"

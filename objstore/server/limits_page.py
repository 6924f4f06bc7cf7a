"""Renders docs/limits.md from the constants of `objstore.model.limits`; `make docs` writes it, a test compares it.

What a constant means is its docstring in the source, its unit is in its name. What follows the constants on the page is
measured and kept by hand: it is taken over as it stands.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from objstore.model import limits
from objstore.model.errors import check

__all__ = ["limits_page"]

MEASURED: Final = "## Listing at size"
"""The heading at which the part begins that is kept by hand."""

_OPENING: Final = """\
# Limits

Made from the constants in `objstore/model/limits.py` by `make docs`; do not edit the tables by hand. Limits that an
operator may set are in [settings.md](settings.md). Numbers of rules are those of the S3 protocol as this project counts them.

| Limit | Value | Of what |
|---|---|---|
"""
_STEPS: Final = {
    "_BYTES": ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"), (1, "bytes")),
    "_MS": (
        (86_400_000, "days"),
        (3_600_000, "hours"),
        (60_000, "minutes"),
        (1000, "s"),
        (1, "ms"),
    ),
    "_S": ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "s")),
}
"""Units by the part of a name that says them, the largest first."""


def limits_page(measured: str) -> str:
    """Return the whole page; `measured` is the part of it that is kept by hand."""
    return _OPENING + "".join(_rows()) + "\n" + measured


def kept_part(page: str) -> str:
    """Return the part of a page that is kept by hand, from its heading on."""
    return page[page.index(MEASURED) :] if MEASURED in page else f"{MEASURED}\n"


def _rows() -> Iterator[str]:
    documented = dict(_documented(ast.parse(inspect.getsource(limits))))
    check(documented.keys() == set(limits.__all__), "a limit without its text, or out of __all__")
    for name, text in documented.items():
        yield f"| `{name}` | {_amount(name, getattr(limits, name))} | {text} |\n"


def _documented(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield every constant that a string follows, with that string, in the order of the source."""
    for node, after in zip(module.body, module.body[1:], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        match after:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.target.id, " ".join(text.split())


def _amount(name: str, value: int) -> str:
    """Return a value with the largest unit that divides it; a bare count without one."""
    for part, steps in _STEPS.items():
        if name.endswith(part) or f"{part}_" in name:
            size, unit = next(step for step in steps if value % step[0] == 0)
            return f"{value // size:,} {unit}"
    return f"{value:,}"


if __name__ == "__main__":
    path = Path("docs/limits.md")
    kept = kept_part(path.read_text(encoding="utf-8") if path.exists() else "")
    path.write_text(limits_page(kept), encoding="utf-8")

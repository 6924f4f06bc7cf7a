"""Play the dialogues under `tests/scripts/consensus` and the page `docs/protocol.md`: what they show is what the cores do.

With `OBJSTORE_REGENERATE_SCRIPTS=1` the expectations are rewritten: review the difference as you would review code.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from objstore.model.errors import InvariantError
from objstore.testing.mutants import MUTANTS
from objstore.testing.sim.stage import play_page, play_script

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "tests" / "scripts" / "consensus"
REGENERATE = os.environ.get("OBJSTORE_REGENERATE_SCRIPTS") == "1"


def compare(path, played):
    written = path.read_text(encoding="utf-8")
    if REGENERATE:
        path.write_text(played, encoding="utf-8")
    assert played == (played if REGENERATE else written)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_script_plays_as_written(path):
    """A dialogue is the readable form of the rules: any change in what is said or kept must be wanted."""
    compare(path, play_script(path.read_text(encoding="utf-8")))


def test_the_page_about_the_protocol_is_current():
    """Its pictures are made by the cores; a page that tells what is not so is worse than none."""
    path = ROOT / "docs" / "protocol.md"
    compare(path, play_page(path.read_text(encoding="utf-8")))


def test_the_course_is_complete():
    """The lessons are numbered without a gap, and each says first what it teaches."""
    paths = sorted(SCRIPTS.glob("*.txt"))
    assert [int(path.stem[:2]) for path in paths] == list(range(1, len(paths) + 1))
    assert all(path.read_text(encoding="utf-8").startswith("# ") for path in paths)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS.values() if mutant.directed], ids=lambda m: m.name
)
def test_a_mutant_that_chance_rarely_finds_plays_another_dialogue(mutant):
    """Rare is not never: the dialogue leads straight to where the rule that is off matters."""
    (path,) = SCRIPTS.glob(f"*_{mutant.directed}.txt")
    written = path.read_text(encoding="utf-8")
    try:
        assert play_script(written, mutant.parts.log) != written
    except InvariantError:
        return

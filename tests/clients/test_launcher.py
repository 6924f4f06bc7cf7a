"""The launcher of client programs: what libraries do at exit does not count, and everything before does."""

from __future__ import annotations

import subprocess

import pytest

ABORT_AT_EXIT = "import atexit, os\natexit.register(os.abort)\n"


@pytest.fixture
def launch(shell):
    """Run the text of a program."""

    def call(text: str) -> None:
        path = shell.folder / "program.py"
        path.write_text(text)
        shell.run_python(path)

    return call


def test_an_abort_at_exit_does_not_count(launch, shell):
    """The same program aborts where the interpreter is taken down; through the launcher it has come to its end."""
    launch(ABORT_AT_EXIT)
    plain = subprocess.run(
        ["python3", str(shell.folder / "program.py")], check=False, capture_output=True
    )
    assert plain.returncode == -6


@pytest.mark.parametrize(
    "text",
    [
        ABORT_AT_EXIT + "assert 1 == 2",
        "import os\nos.abort()",
        "import os\nos._exit(0)",
        "import sys\nsys.exit(3)",
        "raise KeyboardInterrupt",
        "1 +",
    ],
)
def test_a_program_that_did_not_come_to_its_end_fails(launch, text):
    """An assertion, an abort, a silent end, an exit code, a break, bad syntax."""
    with pytest.raises(AssertionError):
        launch(text)

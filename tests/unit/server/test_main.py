"""The command line: help that teaches, faults in plain words."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from objstore.server.main import cli
from objstore.server.settings import setting_rows


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-c", "from objstore.server.main import main; main()", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environ, timeout=60
    )


def test_help_of_serve_names_each_setting_with_its_environment() -> None:
    """Whoever deploys a container looks for the variable here."""
    text = " ".join(CliRunner().invoke(cli, ["serve", "--help"]).output.split())
    for row in setting_rows():
        if row.flag:
            assert row.flag in text
            assert row.env in text


def test_secrets_have_no_flag() -> None:
    """Every user of a machine can read the command lines of all processes."""
    assert not any(
        row.flag for row in setting_rows() if "key" in row.name and row.name.startswith("root")
    )


def test_every_listed_command_has_help_and_a_body() -> None:
    """A command that is listed and does nothing is a broken promise."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.callback is not None
        assert command.get_short_help_str()


def test_faulty_settings_are_all_told_without_a_traceback() -> None:
    """A person sees causes and a next step; a supervisor sees exit code 2."""
    done = run("serve", "--address", "9000", "--region", "EU WEST")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in ("dirs: name at least one", "address: '9000'", "region:", "Next step:"):
        assert part in done.stderr


def test_unknown_environment_names_are_told() -> None:
    """Checked by the program, not by the eye."""
    done = run("serve", "/tmp/never-made", OBJSTORE_REGOIN="x")
    assert done.returncode == 2
    assert "did you mean OBJSTORE_REGION?" in done.stderr


def test_unknown_option_is_a_usage_error() -> None:
    """Exit code 2 for everything that the person can correct."""
    done = run("serve", "--adress", "x")
    assert done.returncode == 2
    assert "--address" in done.stderr


def test_healthcheck_without_a_server_fails() -> None:
    """A container without a server is not healthy."""
    done = run("healthcheck", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "does not answer" in done.stderr


def test_help_loads_none_of_the_server() -> None:
    """`--help` has to answer at once: the server's libraries take most of a second to load."""
    code = (
        "import sys, objstore.server.main;"
        "print([name for name in ('uvicorn', 'starlette', 'sqlalchemy', 'apsw', 'structlog') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["objstore", "python", "sqlite", "apsw"])
def test_version_shows_what_a_bug_report_needs(name) -> None:
    """SQLite's version decides whether a known corruption bug is in play."""
    assert name in CliRunner().invoke(cli, ["version"]).output

"""The command line, `objstore-node`.

Only what the help needs is imported here: a command imports its own machinery when it runs, so that `--help` answers at
once. What goes wrong before serving is told in plain words with a next step, exit code 2, no traceback.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from objstore.server.bench.command import bench
from objstore.server.refusal import StartRefused
from objstore.server.settings import Kind, SettingRow, setting_rows

__all__ = ["cli", "main"]

_STARTED_S = time.monotonic()
EXIT_REFUSED = 2

_SERVE_HELP = """Serve S3 with data in the directories DIR.

\b
The first start makes a root key pair, keeps it in the first directory and
shows it once. Every option is also a setting of the same name in the
environment and in a TOML file; the command line wins over the environment,
the environment over the file.

\b
Examples:
  objstore-node serve ./data
  objstore-node serve /mnt/a /mnt/b /mnt/c --address 0.0.0.0:9000
  objstore-node serve ./data --bucket photos --bucket backups
  objstore-node serve ./data --tls-cert chain.pem --tls-key key.pem --domain s3.example.com
  objstore-node serve --config /etc/objstore.toml
  objstore-node serve --dev
"""
_CLI_HELP = """objstore: an S3-compatible object store.

\b
Start here:
  objstore-node serve --dev      try it: fixed keys, temporary data
  objstore-node serve ./data     keep data in ./data
"""


def main() -> None:
    """Run the command line; the entry point of `objstore-node`."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = 130
    except StartRefused as refusal:
        _show(refusal)
        code = EXIT_REFUSED
    sys.exit(code if isinstance(code, int) else 0)


def _show(refusal: StartRefused) -> None:
    click.echo("objstore-node cannot start:", err=True)
    for cause in refusal.causes:
        click.echo(f"  - {cause}", err=True)
    if refusal.next_step:
        click.echo(f"Next step: {refusal.next_step}", err=True)


@click.group(help=_CLI_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="objstore", prog_name="objstore-node")
def cli() -> None:
    """Group the commands; each of them is listed by what registers itself here."""


def _serve(dirs: tuple[Path, ...], config: Path | None, **options: Any) -> int:
    from functools import partial  # noqa: PLC0415 - see the module docstring

    from objstore.server.bootstrap import open_node  # noqa: PLC0415
    from objstore.server.clock import SystemClock  # noqa: PLC0415
    from objstore.server.logs import configure_logs  # noqa: PLC0415
    from objstore.server.serve import run  # noqa: PLC0415
    from objstore.server.settings_check import check  # noqa: PLC0415
    from objstore.server.settings_sources import load_settings  # noqa: PLC0415

    flags = {name: value for name, value in options.items() if value not in (None, ())}
    if dirs:
        flags["dirs"] = dirs
    settings = load_settings(flags=flags, environ=os.environ, config_file=config)
    if problems := check(settings):
        raise StartRefused(
            *problems, next_step="see `objstore-node serve --help` and docs/settings.md"
        )
    configure_logs(settings.log)
    return run(
        settings, partial(open_node, clock=SystemClock()), announce=_announce, started_s=_STARTED_S
    )


def _announce(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


def _option(row: SettingRow) -> click.Option:
    """Make the option of a setting. Values stay texts: all sources share one set of parsers."""
    default = (
        ", ".join(str(item) for item in row.default)
        if isinstance(row.default, tuple)
        else row.default
    )
    notes = [f"env {row.env}"]
    if default not in (None, "", False):
        notes.insert(0, f"default {default}")
    if row.kind is Kind.FLAG:
        return click.Option(
            [row.flag, row.name],
            is_flag=True,
            default=None,
            help=_help(row, notes),
            show_default=False,
        )
    return click.Option(
        [row.flag, row.name],
        metavar="|".join(row.choices) or row.kind.value.removesuffix("..."),
        multiple=row.kind is Kind.TEXTS,
        default=None,
        help=_help(row, notes),
    )


def _help(row: SettingRow, notes: list[str]) -> str:
    return f"{row.meaning}  [{'; '.join(notes)}]"


def _serve_command() -> click.Command:
    directories = click.Argument(
        ["dirs"], metavar="DIR...", nargs=-1, type=click.Path(path_type=Path), required=False
    )
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Settings in TOML, under the names of docs/settings.md.  [env OBJSTORE_CONFIG]",
    )
    options = [_option(row) for row in setting_rows() if row.flag]
    return click.Command(
        "serve",
        callback=_serve,
        params=[directories, config, *options],
        help=_SERVE_HELP,
        short_help="Serve S3 from directories.",
    )


@click.command(short_help="Ask a running server whether it is ready.")
@click.option(
    "--url",
    metavar="URL",
    help="Base URL of the server.  [default: from OBJSTORE_ADDRESS, else http://127.0.0.1:9000]",
)
@click.option(
    "--timeout-s", default=3.0, show_default=True, help="How long to wait for the answer."
)
def healthcheck(url: str | None, timeout_s: float) -> int:
    r"""Ask a running server whether it is ready: exit code 0 for yes, 1 for no.

    For container and service supervisors. The certificate of an https server is not verified: this asks whether
    the server on this machine works, not who it is.

    \b
    Examples:
      objstore-node healthcheck
      objstore-node healthcheck --url https://127.0.0.1:9000
    """
    from objstore.server.healthcheck import ask_readiness, own_url  # noqa: PLC0415

    is_ready, text = ask_readiness(url or own_url(os.environ), timeout_s=timeout_s)
    click.echo(text, err=not is_ready)
    return 0 if is_ready else 1


@click.command("check", short_help="Verify all copies of a store of three or more directories.")
@click.argument("dirs", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
def check_command(dirs: tuple[Path, ...]) -> int:
    r"""Verify that all copies are there, whole and the same: exit code 0 for yes, 1 for no, 2 where nothing can be said.

    For stores of three or more directories. Compares the replicas of the catalogue (the rolling hash of all results,
    and every row), and reads and verifies each shard that objects and parts consist of. It changes nothing and may run
    beside the server; while there are writes, replicas are a moment behind, and what was deleted meanwhile is missing:
    look again.

    \b
    Examples:
      objstore-node check /mnt/a /mnt/b /mnt/c
    """
    from objstore.server.store_check import check_store  # noqa: PLC0415 - see the module docstring

    result = check_store(dirs)
    for line in result.lines():
        click.echo(line)
    return 0 if result.is_whole else 1


@click.command(short_help="Show the versions of objstore and of what it is built on.")
def version() -> None:
    """Show the versions of objstore, Python, SQLite and the libraries; paste it into a bug report."""
    from objstore.server.versions import version_lines  # noqa: PLC0415

    for line in version_lines():
        click.echo(line)


def register(*commands: click.Command) -> None:
    """Add commands to the command line; nothing is listed that does not exist."""
    for command in commands:
        cli.add_command(command)


register(_serve_command(), healthcheck, check_command, bench, version)


if __name__ == "__main__":
    main()

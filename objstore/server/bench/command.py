"""The command `objstore-node bench`. Only what its help needs is imported here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from objstore.server.bench.amounts import parse_duration, parse_list, parse_size

if TYPE_CHECKING:
    from objstore.server.bench.figures import Figures
    from objstore.server.bench.session import Plan

__all__ = ["bench"]

_CASES: Final = ("put", "get", "range", "head", "list", "mixed", "delete", "multipart")
_CASES_DEFAULT: Final = "put,get,head,list,delete"
_CLIENTS_MAX: Final = 4_096
_PROCESSES_MAX: Final = 256
_DURATION_S_MAX: Final = 600.0
_EXIT_ERRORS: Final = 1

_HELP: Final = """Measure an S3 endpoint: ours, or any other.

Without --endpoint a server is started on a temporary directory (below --data DIR, if given), measured with its
defaults, and removed. With --endpoint the bench makes a bucket of its own, or works below a prefix of its own in
--bucket, and takes away what it made. Every byte that a GET answers is compared with what was put.

\b
Cases (a client does one operation after the other, over one kept connection):
  put        write new objects                      each size
  get        read whole objects                     each size
  range      read 64 KiB from inside an object      each size
  head       ask for metadata                       smallest size
  list       list 1,000 of 10,000 keys              (see --keys)
  mixed      5 GET, 3 HEAD, 1 PUT, 1 DELETE of 10   each size
  delete     delete objects                         smallest size
  multipart  whole uploads, parts of 8 MiB          sizes of 5 MiB and more

\b
Examples:
  objstore-node bench
  objstore-node bench --data /mnt/disk --case put,get --size 4KiB --concurrency 1,16,64
  objstore-node bench --endpoint http://127.0.0.1:9000 --access-key KEY --secret-key SECRET
  objstore-node bench --endpoint https://s3.example.com --ca-file ca.pem --bucket scratch --json run.jsonl

\b
Reading the table: with one client p50 is what an operation costs; with many clients requests/s is what the server
can do. MB/s counts object data only, in 1,000,000 bytes. Compare only runs on the same machine, disk and load. The
bench takes processor time of its own, about 20 microseconds a small request; where one core of it is the limit, use
--processes.

Exit code: 0; 1 when operations failed; 2 when nothing could be measured.
"""


class _Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """A value read by one of our parsers; its ValueError becomes the usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a text; values that are none are defaults and stay."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _case(text: str) -> str:
    if text not in _CASES:
        raise ValueError(f"{text!r} is no case; there are {', '.join(_CASES)}")
    return text


def _size(text: str) -> int:
    from objstore.server.bench.bodies import BODY_BYTES_MAX  # noqa: PLC0415 - see the module docstring

    size = parse_size(text)
    if size > BODY_BYTES_MAX:
        raise ValueError("sizes go up to 1GiB: a body is held in memory")
    return size


def _clients(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _CLIENTS_MAX:
        raise ValueError(f"{text!r} is not a number of clients from 1 to {_CLIENTS_MAX:,}")
    return int(text)


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if not 0 < seconds <= _DURATION_S_MAX:
        raise ValueError("a measurement takes more than nothing and at most 10m")
    return seconds


_OPTIONS: Final = (
    click.Option(
        ["--endpoint"],
        metavar="URL",
        help="What to measure, as http://127.0.0.1:9000.  [default: a server of the bench's own]",
    ),
    click.Option(
        ["--access-key"],
        envvar=["OBJSTORE_ROOT_ACCESS_KEY", "AWS_ACCESS_KEY_ID"],
        show_envvar=True,
        metavar="TEXT",
        help="Key for --endpoint.",
    ),
    click.Option(
        ["--secret-key"],
        envvar=["OBJSTORE_ROOT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"],
        show_envvar=True,
        metavar="TEXT",
        help="Its secret; better in the environment, where other users of the machine cannot read it.",
    ),
    click.Option(
        ["--region"],
        envvar=["OBJSTORE_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
        default="us-east-1",
        show_default=True,
        show_envvar=True,
        metavar="TEXT",
        help="Region to sign for.",
    ),
    click.Option(
        ["--bucket"],
        metavar="NAME",
        help="Work below a prefix in this bucket; made, and removed, if it is not there.  [default: one of its own]",
    ),
    click.Option(
        ["--case", "cases"],
        type=_Parsed("NAME,...", lambda text: parse_list(text, _case)),
        default=_CASES_DEFAULT,
        show_default=True,
        help="What to measure.",
    ),
    click.Option(
        ["--size", "sizes"],
        type=_Parsed("SIZE,...", lambda text: parse_list(text, _size)),
        default="4KiB,1MiB,64MiB",
        show_default=True,
        help="Sizes of objects.",
    ),
    click.Option(
        ["--concurrency", "concurrencies"],
        type=_Parsed("COUNT,...", lambda text: parse_list(text, _clients)),
        default="1,16,64",
        show_default=True,
        help="Numbers of clients at the same time.",
    ),
    click.Option(
        ["--duration", "duration_s"],
        type=_Parsed("TIME", _duration),
        default="5s",
        show_default=True,
        help="How long each measurement lasts. One that writes ends after 4 GiB.",
    ),
    click.Option(
        ["--requests", "requests_max"],
        type=click.IntRange(min=1),
        metavar="COUNT",
        help="End a measurement after this many operations, if that is sooner.",
    ),
    click.Option(
        ["--keys", "keys_count"],
        type=click.IntRange(min=1),
        metavar="COUNT",
        help="Objects to read from, or to list.  [default: 4 to 1,000 by size; 10,000 for list]",
    ),
    click.Option(
        ["--json", "json_file"],
        type=click.File("w", lazy=True),
        metavar="FILE",
        help="Also write one JSON line a measurement, with the machine; - for standard output.",
    ),
    click.Option(
        ["--processes"],
        type=click.IntRange(1, _PROCESSES_MAX),
        default=1,
        show_default=True,
        metavar="COUNT",
        help="Processes that share the clients.",
    ),
    click.Option(
        ["--data"],
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help="Where the bench's own server keeps its data meanwhile.  [default: the temporary directory]",
    ),
    click.Option(
        ["--ca-file"],
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="AWS_CA_BUNDLE",
        show_envvar=True,
        metavar="FILE",
        help="Certificate of the authority that an https endpoint is to be trusted by.",
    ),
    click.Option(
        ["--unsigned-payload"],
        is_flag=True,
        help="Leave the hash of bodies out of signatures, as SDKs do over https.",
    ),
    click.Option(["--keep"], is_flag=True, help="Leave the objects, and the own server's data."),
)


def _bench(**options: Any) -> int:
    from objstore.server.bench.refusal import BenchRefused  # noqa: PLC0415

    try:
        return _run(options)
    except BenchRefused as refusal:
        click.echo(f"objstore-node bench: {refusal}", err=True)
        return 2


def _run(options: dict[str, Any]) -> int:
    from objstore.server.bench.own_server import own_server  # noqa: PLC0415

    if options["endpoint"]:
        return _measure(options, {})
    with own_server(options["data"], keep=options["keep"]) as server:
        own = {
            "endpoint": server.endpoint,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "region": "us-east-1",
            "ca_file": None,
        }
        return _measure(options | own, {"data": server.data})


def _measure(options: dict[str, Any], own: dict[str, Path]) -> int:
    import uvloop  # noqa: PLC0415

    from objstore.server.bench.screen import Recorder, Terminal, heading  # noqa: PLC0415
    from objstore.server.bench.session import run_plan  # noqa: PLC0415

    plan = _plan(options)
    out = sys.stderr if _is_standard_output(options["json_file"]) else sys.stdout
    recorder = Recorder(options["json_file"], plan, data=own.get("data"))
    screen = Terminal(sys.stderr, recorder)
    click.echo(heading(plan, data=own.get("data")), file=out)
    try:
        uvloop.run(run_plan(plan, screen))
    finally:
        screen.clear()
        _show(recorder.rows, out)
    if plan.keeps:
        kept = (
            own.get("data") or f"{plan.bucket or 'the bucket'} below objstore-bench/{plan.run_id}/"
        )
        click.echo(f"Kept: {kept}", file=out)
    return _EXIT_ERRORS if any(row.errors for row in recorder.rows) else 0


def _show(rows: list[Figures], out: Any) -> None:
    from objstore.server.bench.report import error_lines, table  # noqa: PLC0415

    if not rows:
        return
    click.echo(table(rows), file=out)
    if errors := error_lines(rows):
        click.echo("\nErrors:\n" + "\n".join(errors), file=out)


def _plan(options: dict[str, Any]) -> Plan:
    import secrets  # noqa: PLC0415

    from objstore.server.bench.session import Plan, measurements  # noqa: PLC0415

    plan = Plan(
        target=_target(options),
        cases=options["cases"],
        sizes=options["sizes"],
        concurrencies=options["concurrencies"],
        duration_s=options["duration_s"],
        run_id=secrets.token_hex(4),
        requests_max=options["requests_max"],
        bucket=options["bucket"],
        processes=options["processes"],
        keys_count=options["keys_count"],
        keeps=options["keep"],
        is_signed=not options["unsigned_payload"],
    )
    if next(measurements(plan), None) is None:
        raise click.UsageError("nothing to measure: multipart needs a --size of 5MiB or more")
    return plan


def _target(options: dict[str, Any]) -> Any:
    from objstore.server.bench.refusal import BenchRefused  # noqa: PLC0415
    from objstore.server.bench.signer import Credentials  # noqa: PLC0415
    from objstore.server.bench.target import Target, parse_endpoint  # noqa: PLC0415
    from objstore.server.settings import Secret  # noqa: PLC0415

    access_key, secret_key = options["access_key"], options["secret_key"]
    if not access_key or not secret_key:
        raise BenchRefused(
            f"{options['endpoint']} asks for a key pair, and none is given",
            next_step="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --access-key and --secret-key",
        )
    host, port, is_tls = parse_endpoint(options["endpoint"])
    is_from_aws = os.environ.get("AWS_ACCESS_KEY_ID") == access_key
    token = os.environ.get("AWS_SESSION_TOKEN", "") if is_from_aws else ""
    credentials = Credentials(access_key, Secret(secret_key), options["region"], token)
    return Target(host, port, is_tls, credentials, options["ca_file"])


def _is_standard_output(file: Any) -> bool:
    return file is not None and file.name in {"-", "<stdout>"}


bench: Final = click.Command(
    "bench",
    callback=_bench,
    params=list(_OPTIONS),
    help=_HELP,
    short_help="Measure an S3 endpoint, or a server of its own.",
)

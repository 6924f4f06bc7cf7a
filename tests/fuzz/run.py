"""Fuzzes the parsers of untrusted bytes for a bounded time.

    python tests/fuzz/run.py [--seconds N] [--findings DIR] [PARSER...]

Every parser of `parsers.py`, or the ones named, gets its own process and N seconds. Where atheris is installed, libFuzzer
guides the mutations by the coverage of the parser's code; elsewhere the corpus is mutated blindly with a seed. A finding
is written to DIR with the traceback on standard error, and the exit code is 1.

Inputs that only reach new code stay in a temporary directory: what belongs into the corpus is chosen by a person.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
INPUT_BYTES_MAX = 16 * 1024
"""Twice the section of the headers: long enough to show work that grows faster than its input."""
INPUT_SECONDS_MAX = 5
GRACE_S = 60
"""For starting, for instrumenting the code, and for the input that is being worked on."""


def main() -> int:
    """Fuzz what the arguments say; return the exit code."""
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    reader.add_argument("--seconds", type=int, default=60)
    reader.add_argument("--findings", type=Path, default=Path("results/fuzz"))
    reader.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    reader.add_argument("parsers", nargs="*", metavar="PARSER")
    options = reader.parse_args()
    names = options.parsers or sorted(path.name for path in (HERE / "corpus").iterdir())
    options.findings.mkdir(parents=True, exist_ok=True)
    if options.here:
        return fuzz_here(names[0], options.seconds, options.findings)
    failed = [name for name in names if not fuzz_apart(name, options.seconds, options.findings)]
    if failed:
        print(f"findings in: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def fuzz_apart(name: str, seconds: int, findings: Path) -> bool:
    """Fuzz one parser in a process of its own, which libFuzzer ends as it likes; tell whether nothing was found."""
    command = [sys.executable, str(Path(__file__)), "--here", "--seconds", str(seconds)]
    command += ["--findings", str(findings), name]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds + GRACE_S,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if not line.startswith("INFO: Instr")]
    if done.returncode:
        print("\n".join([f"--- {name}", *said[-60:]]), file=sys.stderr, flush=True)
        return False
    runs = [line for line in said if line.startswith("Done ")]
    print(f"{name}: {runs[-1].removeprefix('Done ') if runs else 'nothing was run'}", flush=True)
    return bool(runs)


def fuzz_here(name: str, seconds: int, findings: Path) -> int:
    """Fuzz one parser in this process."""
    try:
        import atheris
    except ImportError:
        return mutate(name, seconds, findings)
    atheris.enabled_hooks.add(
        "str"
    )  # compares of text guide too; the hook of `re` fails on patterns of bytes
    parser = load(atheris.instrument_imports(include=["objstore.s3", "objstore.model"])).PARSERS[
        name
    ]
    with tempfile.TemporaryDirectory(prefix="objstore-fuzz-") as fresh:
        flags = {
            "max_total_time": seconds,
            "max_len": INPUT_BYTES_MAX,
            "timeout": INPUT_SECONDS_MAX,
            "rss_limit_mb": 2048,
            "artifact_prefix": f"{findings}/{name}-",
        }
        arguments = [f"-{flag}={value}" for flag, value in flags.items()]
        atheris.Setup([sys.argv[0], *arguments, fresh, str(HERE / "corpus" / name)], parser)
        atheris.Fuzz()
    return 0


def load(imports: AbstractContextManager[object] | None = None) -> ModuleType:
    """Return the module of the parsers, whatever it imports instrumented by the context."""
    spec = importlib.util.spec_from_file_location("fuzz_parsers", HERE / "parsers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with imports or nullcontext():
        spec.loader.exec_module(module)
    return module


# --- without coverage ------------------------------------------------------------------------------------------


def mutate(name: str, seconds: int, findings: Path) -> int:
    """Give the parser damaged files of its corpus until the time is over."""
    parser: Callable[[bytes], None] = load().PARSERS[name]
    corpus = [path.read_bytes() for path in sorted((HERE / "corpus" / name).iterdir())]
    end = time.monotonic() + seconds
    runs = 0
    for data in damaged(corpus, random.Random(name)):
        if time.monotonic() > end:
            break
        started = time.process_time()
        runs += 1
        try:
            parser(data)
            assert time.process_time() - started < INPUT_SECONDS_MAX, "too slow"
        except Exception:
            (findings / f"{name}-crash").write_bytes(data)
            raise
    print(f"Done {runs} runs in {seconds} second(s), without coverage", file=sys.stderr)
    return 0


def damaged(corpus: list[bytes], choose: random.Random) -> Iterator[bytes]:
    """Yield the files of a corpus for ever, each time with up to eight changes."""
    while True:
        data = bytearray(choose.choice(corpus))
        for _ in range(choose.randrange(9)):
            start = choose.randrange(len(data) + 1)
            end = min(len(data), start + choose.randrange(16))
            other = choose.choice(corpus)
            cut = choose.randrange(len(other) + 1)
            data[start:end] = choose.choice(
                (
                    b"",
                    bytes(data[start:end]) * choose.choice((2, 3, 500)),
                    choose.randbytes(choose.randrange(4)),
                    other[cut : cut + choose.randrange(40)],
                )
            )
        yield bytes(data[:INPUT_BYTES_MAX])


if __name__ == "__main__":
    sys.exit(main())

"""What is shown and written while the bench runs: a moving line on a terminal, JSON lines in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any, Final, TextIO

from objstore import __version__
from objstore.server.bench.figures import Figures
from objstore.server.bench.load import Progress
from objstore.server.bench.machine import commit, file_system, machine
from objstore.server.bench.report import progress_line
from objstore.server.bench.session import Plan, Screen, measurements
from objstore.server.clock import SystemClock

__all__ = ["Recorder", "Terminal", "heading"]

_CLEAR_LINE: Final = "\r\x1b[2K"


class Recorder:
    """Keeps the figures, and writes each as a JSON line as soon as it is there."""

    def __init__(self, file: IO[str] | None, plan: Plan, *, data: Path | None = None) -> None:
        self.rows: list[Figures] = []
        self._file = file
        self._where: dict[str, Any] = {
            "endpoint": "own" if data else plan.target.url,
            "payload": "signed" if plan.is_signed else "unsigned",
            "version": __version__,
            "commit": commit(),
            "machine": machine() | ({"data_on": file_system(data)} if data else {}),
        }

    def add(self, figures: Figures) -> None:
        """Keep and write one measurement."""
        self.rows.append(figures)
        if self._file is not None:
            line = figures.as_line() | self._where | {"at_ms": SystemClock().now()}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


class Terminal(Screen):
    """Shows one updating line on a terminal; on anything else it keeps quiet."""

    def __init__(self, stream: TextIO, recorder: Recorder) -> None:
        self._stream = stream
        self._recorder = recorder
        self._is_terminal = stream.isatty()

    def progress(self, title: str, duration_s: float) -> Progress | None:
        """Return what draws the line of a measurement."""
        if not self._is_terminal:
            return None

        def draw(elapsed_s: float, done: int, errors: int) -> None:
            line = progress_line(
                title, elapsed_s=elapsed_s, duration_s=duration_s, done=done or None, errors=errors
            )
            self._stream.write(_CLEAR_LINE + line)
            self._stream.flush()

        return draw

    def finished(self, figures: Figures) -> None:
        """Keep the figures."""
        self._recorder.add(figures)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_terminal:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()


def heading(plan: Plan, *, data: Path | None = None) -> str:
    """Return what will be measured, where, and how long that takes."""
    count = sum(1 for _ in measurements(plan))
    seconds = count * plan.duration_s
    duration = f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
    where = plan.target.url
    if data is not None:
        kind = file_system(data)
        where = f"a server of its own, data in {data} ({kind or 'unknown file system'})"
        if kind == "tmpfs":
            where += (
                "\nThat is memory: syncing costs nothing there. Give --data DIR to measure a drive."
            )
    facts = machine()
    return (
        f"objstore bench {__version__} on {facts['cpu']}, {facts['cores']} cores, Python {facts['python']}\n"
        f"Measuring {where}\n"
        f"{count} measurement{'s' if count > 1 else ''}, at most {duration} and the preparation\n"
    )

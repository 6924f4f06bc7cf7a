"""What the server writes to standard error: events with key-values, for people or for collectors.

`info` writes life events only. One line a request is written at `debug`, as failures of ours are at `error`; below the
chosen level a call costs well under a microsecond, because the level is part of the logger's class. Values whose name says
that they are secret are replaced, whoever logs them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import IO, Any

import structlog

from objstore.server.metrics import Metrics
from objstore.server.settings import LogSettings

__all__ = ["RequestObserver", "configure_logs"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SECRET_WORDS = ("secret", "password", "passphrase", "signature", "authorization", "token", "credential")
_HIDDEN = "***"


def configure_logs(settings: LogSettings, stream: IO[str] | None = None) -> None:
    """Set the process's logging up; called once at start, before anything is logged."""
    target = stream or sys.stderr
    is_json = settings.log_format == "json"
    render: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    if is_json:
        render += [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(default=str)]
    else:
        render.append(structlog.dev.ConsoleRenderer(colors=target.isatty()))
    structlog.configure(
        processors=render,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.WriteLoggerFactory(target),  # type: ignore[arg-type]  # any text stream will do
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(_LEVELS[settings.log_level])


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of names that say "secret"; a processor for structlog."""
    for name in event:
        if name != "event" and any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = _HIDDEN
    return event


class RequestObserver:
    """Counts and logs requests for the S3 pipeline."""

    __slots__ = ("_log", "_logs_requests", "_metrics")

    def __init__(self, metrics: Metrics, *, logs_requests: bool) -> None:
        self._metrics = metrics
        self._logs_requests = logs_requests
        self._log = structlog.get_logger("objstore.requests")

    def request_done(  # noqa: PLR0913 - one call a request, so no object for it
        self,
        operation: str,
        status: int,
        *,
        seconds: float,
        bytes_in: int,
        bytes_out: int,
        request_id: str,
    ) -> None:
        """Take note of an answered request."""
        self._metrics.request_done(
            operation, status, seconds=seconds, bytes_in=bytes_in, bytes_out=bytes_out
        )
        if self._logs_requests:
            self._log.debug(
                "request",
                operation=operation,
                status=status,
                ms=round(seconds * 1000, 3),
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                request_id=request_id,
            )

    def request_failed(self, operation: str, request_id: str, error: BaseException) -> None:
        """Take note of a fault of ours, with its traceback."""
        self._log.error("request_failed", operation=operation, request_id=request_id, exc_info=error)


class _StandardBridge(logging.Handler):
    """Turns records of libraries that use the standard `logging` into events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, "library", logger=record.name, text=record.getMessage(), exc_info=record.exc_info)


def _route_standard_logging(level: int) -> None:
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
    root.addHandler(_StandardBridge())
    root.setLevel(max(level, logging.WARNING))

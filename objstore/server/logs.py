"""What the server writes to standard error: events with key-values, for people or for collectors.

`info` writes life events only, `debug` one line for each request besides. Below the chosen level a call costs well
under a microsecond, because the level is part of the logger's class. Values whose name says that they are secret are
replaced, whoever logs them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import IO, Any

import structlog

from objstore.server.settings import LogSettings

__all__ = ["configure_logs", "hide_secrets"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_SECRET_WORDS = (
    "secret",
    "password",
    "passphrase",
    "signature",
    "authorization",
    "token",
    "credential",
)
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
        render += [
            _json_tracebacks(),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        render.append(
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
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


def _json_tracebacks() -> Any:
    """Tracebacks as data, without the values of local variables: those are keys, signatures and users' data."""
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return structlog.processors.ExceptionRenderer(transformer)


class _StandardBridge(logging.Handler):
    """Turns records of libraries that use the standard `logging` into events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(
            record.levelno,
            "library",
            logger=record.name,
            text=record.getMessage(),
            exc_info=record.exc_info,
        )


def _route_standard_logging(level: int) -> None:
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
    root.addHandler(_StandardBridge())
    root.setLevel(max(level, logging.WARNING))

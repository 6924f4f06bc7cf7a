"""Logs: readable by machines, and never a place where secrets leak."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from objstore.server.logs import configure_logs
from objstore.server.settings import LogSettings


@pytest.fixture(autouse=True)
def restored_logging():
    """Give the process its logging back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def written(log_format: str, act, *, log_level: str = "info") -> str:
    """Return what logging wrote while `act` ran."""
    stream = io.StringIO()
    configure_logs(LogSettings(log_format=log_format, log_level=log_level), stream)
    act(structlog.get_logger("test"))
    return stream.getvalue()


def fail_with_secret() -> None:
    """Raise with a secret in a local variable."""
    secret_key = "hunter2"  # noqa: F841 - what must not be shown
    raise ValueError


def log_failure(log) -> None:
    """Log a traceback."""
    try:
        fail_with_secret()
    except ValueError as error:
        log.error("failed", exc_info=error)


def test_json_is_one_object_a_line_with_level_and_time() -> None:
    """Collectors split at line breaks."""
    text = written("json", lambda log: log.info("drain_started", requests=3, path="a\nb"))
    event = json.loads(text)
    assert text.count("\n") == 1
    assert (event["event"], event["requests"], event["level"]) == ("drain_started", 3, "info")
    assert event["timestamp"].endswith("Z")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "name", ["secret_key", "Authorization", "session_token", "password", "x_amz_signature"]
)
def test_values_of_secret_names_are_replaced(log_format, name) -> None:
    """Logs are copied to places with other readers than the store's."""
    text = written(log_format, lambda log: log.info("user_made", **{name: "hunter2"}))
    assert "hunter2" not in text
    assert "***" in text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_show_no_local_variables(log_format) -> None:
    """Locals of a failing signature check are keys; the default renderers would print them."""
    text = written(log_format, log_failure)
    assert "ValueError" in text
    assert "fail_with_secret" in text
    assert "hunter2" not in text


def test_levels_below_the_chosen_one_are_silent() -> None:
    """One line a request is for debugging only."""
    assert written("json", lambda log: log.info("x"), log_level="warning") == ""
    assert written("json", lambda log: log.debug("x"), log_level="debug") != ""


def test_warnings_of_libraries_come_the_same_way() -> None:
    """A library's complaint on another stream in another format gets lost."""
    text = written("json", lambda _: logging.getLogger("asyncio").warning("slow %s", "task"))
    assert json.loads(text)["text"] == "slow task"

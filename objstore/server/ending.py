"""How a process ends whose stores cannot be trusted any more."""

from __future__ import annotations

import os
from typing import Final

import structlog

__all__ = ["end_process"]

EXIT_CATALOGUE_FAILED: Final = 3
_log = structlog.get_logger("objstore.node")


def end_process(failure: Exception) -> None:
    """End at once after a failed commit: what is durable is decided by recovery, not by this process (trap T11)."""
    _log.critical("catalogue_failed", cause=str(failure), exc_info=failure)
    os._exit(EXIT_CATALOGUE_FAILED)

"""What happens to the news of a request: counted always, told where somebody asked for it."""

from __future__ import annotations

import structlog

from objstore.model.errors import ClientDisconnected
from objstore.server.metrics import Metrics

__all__ = ["RequestLog"]

_log = structlog.get_logger("objstore.request")
_FAULT_STATUS = 500
_NOT_IMPLEMENTED = 501


class RequestLog:
    """Counts every request; writes a line at debug level, and for faults of ours always."""

    def __init__(self, metrics: Metrics, *, is_verbose: bool) -> None:
        self._metrics = metrics
        self._is_verbose = is_verbose

    def request_done(
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
        if self._is_verbose:
            _log.debug(
                "request",
                request_id=request_id,
                operation=operation,
                status=status,
                ms=round(seconds * 1000, 3),
                bytes_in=bytes_in,
                bytes_out=bytes_out,
            )
        elif status >= _FAULT_STATUS and status != _NOT_IMPLEMENTED:
            _log.warning(
                "request_failed", request_id=request_id, operation=operation, status=status
            )

    def request_failed(self, operation: str, request_id: str, error: BaseException) -> None:
        """Take note of a fault, with its traceback; a client that went away is no fault."""
        cause = error.__cause__ or error
        if isinstance(cause, ClientDisconnected):
            return
        _log.error("request_fault", request_id=request_id, operation=operation, exc_info=error)

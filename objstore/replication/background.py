"""Work that outlives the wait for it: a slow drive's write, the next block, the next piece of a
download.

A request must not wait for a drive that hangs, and must not take a write back by being cancelled.
So such work runs in the task group of the data store, and the request holds a `Pending` to wait on.
An error stays in the `Pending` and never ends the group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from objstore.model.errors import InvariantError, check

__all__ = ["Background", "Pending"]

T = TypeVar("T")


class Pending(Generic[T]):
    """One piece of work under way."""

    __slots__ = ("_done", "_error", "_scope", "_values", "_work")

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._done = anyio.Event()
        self._scope = anyio.CancelScope()
        self._values: list[T] = []
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Do the work; called by the task group."""
        try:
            with self._scope:
                self._values.append(await self._work())
        except Exception as error:  # noqa: BLE001 -- handed to whoever waits, as from a call
            self._error = error
        finally:
            self._done.set()

    async def result(self) -> T:
        """Wait for the value.

        Raises what the work raised. Cancelling the wait leaves the work alone.
        """
        await self._done.wait()
        if self._error is not None:
            raise self._error
        check(self._values, "the work was cancelled by its owner")
        return self._values[0]

    async def settled(self) -> None:
        """Wait until the work has ended, well or not."""
        await self._done.wait()

    def cancel(self) -> None:
        """Nobody wants the value any more."""
        self._scope.cancel()


class Background:
    """Owner of the task group; an async context manager."""

    def __init__(self) -> None:
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what is still under way: writes of drives that hang, and reads that nobody takes."""
        check(self._group is not None, "the background was never opened")
        if self._group is not None:
            self._group.cancel_scope.cancel()
            # An error of the owner is the owner's: the group would wrap it into a group of errors.
            await self._group.__aexit__(None, None, None)
            self._group = None

    def start(self, work: Callable[[], Awaitable[T]]) -> Pending[T]:
        """Begin work and return what to wait on."""
        if self._group is None:
            raise InvariantError("the data store is not open")
        pending = Pending(work)
        self._group.start_soon(pending.run)
        return pending

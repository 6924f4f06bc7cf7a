"""Several awaits at once, results in order; the first error ends the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

import anyio

from objstore.model.errors import ObjstoreError

__all__ = ["gather"]

T = TypeVar("T")


async def gather(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Return the results of all calls in their order; raises the first `ObjstoreError`."""
    results: dict[int, T] = {}
    errors: list[ObjstoreError] = []

    async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            results[number] = await call()
        except ObjstoreError as error:
            errors.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(partial(run, number, call))
    if errors:
        raise errors[0]
    return [results[number] for number in sorted(results)]

"""Look-ups on a thread of their own: a drive that hangs must hold up those who need it, and never the event loop.

A read of a catalogue file can hang in the kernel although everything that it needs is in memory: a reader marks in the
shared index of the WAL what it reads, and a filesystem that is stuck lets nobody write to a mapped page.

One thread serves all files, because most look-ups take less time than waking a thread; what has come together is answered
together. When one hangs, the thread is left to it and another one goes on with the rest; the hanging file is told to
`on_hang` and must not be read again until `on_end` says that the call came back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, Generic, TypeVar

import apsw

from objstore.model.errors import Corrupt, DriveUnavailable

__all__ = ["FileFault", "ReadLane"]

S = TypeVar("S")
T = TypeVar("T")

STALLED_S: Final = 1.0
LOOK_EVERY_S: Final = 0.2
_ANSWERS_MAX: Final = 32
"""Answers that wait for more of their kind."""

_FAULTS: Final = (Corrupt, apsw.Error)

_Item = tuple[asyncio.Future[Any], Callable[[], Awaitable[Any]]]
_Answer = tuple[asyncio.Future[Any], Any, BaseException | None]


class FileFault(Exception):
    """A look-up met something that is wrong with a file or its drive."""

    def __init__(self, file: object, cause: Exception) -> None:
        super().__init__(str(cause))
        self.file = file
        self.cause = cause


class _Turn(Generic[S]):
    """One thread's time at the queue, and what it does at the moment."""

    def __init__(self) -> None:
        self.is_over = False
        self.since: float | None = None
        self.item: _Item | None = None
        self.file: S | None = None


class ReadLane(Generic[S]):
    """Runs calls that read. Use from one event loop; `S` is what a file is known by."""

    def __init__(self, on_hang: Callable[[S], None], on_end: Callable[[S], None]) -> None:
        self._on_hang = on_hang
        self._on_end = on_end
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._turn: _Turn[S] = _Turn()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_watched = False

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call returns that reads and waits for nobody.

        Raises `DriveUnavailable` where it hangs, `FileFault` where the file that it read is damaged or cannot be read.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._begin()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put((future, call))
        if not self._is_watched:
            self._is_watched = True
            loop.call_later(LOOK_EVERY_S, self._watch)
        return await future

    def looks_at(self, file: S) -> None:
        """Say which file the call that is running reads next; called by it."""
        turn = getattr(_of_thread, "turn", None)
        if turn is not None:
            turn.file = file

    def close(self) -> None:
        """End the thread when it has done what waits."""
        self._queue.put(None)

    # --- event loop

    def _begin(self) -> None:
        self._turn = _Turn()
        threading.Thread(
            target=self._work, args=(self._turn,), name="catalogue reads", daemon=True
        ).start()

    def _watch(self) -> None:
        """Look whether the thread hangs, as long as there is anything to do."""
        turn = self._turn
        if turn.since is None and self._queue.empty():
            self._is_watched = False
            return
        if self._loop is not None:
            self._loop.call_later(LOOK_EVERY_S, self._watch)
        if turn.since is None or monotonic() - turn.since <= STALLED_S:
            return
        turn.is_over = True
        item, file = turn.item, turn.file
        self._begin()
        if file is not None:
            self._on_hang(file)
        if item is not None and not item[0].done():
            item[0].set_exception(DriveUnavailable("a look-up hangs"))

    def _deliver(self, turn: _Turn[S], answers: list[_Answer]) -> None:
        if turn.is_over and turn.file is not None:
            self._on_end(turn.file)
        for future, result, error in answers:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    # --- the thread

    def _work(self, turn: _Turn[S]) -> None:
        _of_thread.turn = turn
        answers: list[_Answer] = []
        while not turn.is_over:
            try:
                item = self._queue.get_nowait() if answers else self._queue.get()
            except Empty:
                self._pass_on(turn, answers)
                answers = []
                continue
            if item is None:
                break
            turn.file, turn.item, turn.since = None, item, monotonic()
            answers.append(_answer(turn, item))
            turn.since = None
            if len(answers) == _ANSWERS_MAX:
                self._pass_on(turn, answers)
                answers = []
        self._pass_on(turn, answers)

    def _pass_on(self, turn: _Turn[S], answers: list[_Answer]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._deliver, turn, answers)


_of_thread = threading.local()


def _answer(turn: _Turn[Any], item: _Item) -> _Answer:
    future, call = item
    try:
        return future, _drive(call()), None
    except _FAULTS as error:
        return future, None, error if turn.file is None else FileFault(turn.file, error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
        return future, None, error


def _drive(awaitable: Awaitable[Any]) -> Any:
    """Run a coroutine to its end that only lets others go on now and then."""
    steps = awaitable.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value

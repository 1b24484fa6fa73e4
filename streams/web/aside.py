"""Questions that are answered beside the worker's events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from streams.errors import StreamsError

WAIT_SECONDS: Final = 5.0

Result = TypeVar("Result")


class BusyError(StreamsError):
    """Another question is being answered."""


class Aside:
    """A thread with a loop of its own, for one question at a time.

    Reading a topic may take long; the loop that delivers events waits for none of it. The
    thread keeps no process from its end.
    """

    def __init__(self, seconds: float, *, waits: float = WAIT_SECONDS) -> None:
        """``seconds``: how long a question may take; ``waits``: for the one before it."""
        self._seconds = seconds
        self._waits = waits
        self._one = asyncio.Semaphore()

    async def ask(self, question: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The answer. Raises ``BusyError``, ``TimeoutError``, and what the question raises."""
        try:
            async with asyncio.timeout(self._waits):
                await self._one.acquire()
        except TimeoutError:
            raise BusyError("another question is being answered: try again in a moment") from None
        found: Future[Result] = Future()
        answer = asyncio.wrap_future(found)
        answer.add_done_callback(lambda _: self._one.release())
        threading.Thread(
            target=self._run, args=(question, found), name="aside", daemon=True
        ).start()
        # Whoever asked may be gone: the next one still has to wait.
        return await asyncio.shield(answer)

    def _run(
        self, question: Callable[[], Coroutine[Any, Any, Result]], found: Future[Result]
    ) -> None:
        async def bounded() -> Result:
            async with asyncio.timeout(self._seconds):
                return await question()

        try:
            result = asyncio.run(bounded())
        except BaseException as error:
            found.set_exception(error)
        else:
            found.set_result(result)

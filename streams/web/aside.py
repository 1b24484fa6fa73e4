"""Questions that are answered beside the worker's events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from streams.errors import StreamsError

Result = TypeVar("Result")


class BusyError(StreamsError):
    """Another question is being answered."""


class Aside:
    """A thread with a loop of its own, for one question at a time.

    Reading a topic may take long; the loop that delivers events waits for none of it. The
    thread keeps no process from its end.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds``: how long a question may take."""
        self._seconds = seconds
        self._one = threading.Lock()

    async def ask(self, question: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The answer. Raises ``BusyError``, ``TimeoutError``, and what the question raises."""
        if not self._one.acquire(blocking=False):
            raise BusyError("another question is being answered: try again in a moment")
        answer: Future[Result] = Future()
        threading.Thread(
            target=self._run, args=(question, answer), name="aside", daemon=True
        ).start()
        # Whoever asked may be gone: the answer is still put somewhere.
        return await asyncio.shield(asyncio.wrap_future(answer))

    def _run(
        self, question: Callable[[], Coroutine[Any, Any, Result]], answer: Future[Result]
    ) -> None:
        async def bounded() -> Result:
            async with asyncio.timeout(self._seconds):
                return await question()

        try:
            result = asyncio.run(bounded())
        except BaseException as error:
            self._one.release()
            answer.set_exception(error)
        else:
            self._one.release()
            answer.set_result(result)

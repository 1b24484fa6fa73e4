"""Running asynchronous commands: event loop and signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

try:
    import uvloop
except ImportError:  # on platforms without it
    uvloop = None  # type: ignore[assignment]

Result = TypeVar("Result")


def run(command: Callable[[asyncio.Event], Coroutine[Any, Any, Result]]) -> Result:
    """Run ``command(stop)``; ``stop`` is set by SIGTERM and SIGINT.

    A second SIGINT ends the process at once.
    """

    async def with_signals() -> Result:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal(number: signal.Signals) -> None:
            if stop.is_set() and number is signal.SIGINT:
                loop.remove_signal_handler(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, on_signal, number)
        return await command(stop)

    if uvloop is not None:
        # As policy, so that Faust's consumer thread gets a fast loop too.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return asyncio.run(with_signals())

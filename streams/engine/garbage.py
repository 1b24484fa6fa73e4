"""Garbage collection by the clock.

Events in flight are many objects and no cycles. Python's collector runs when enough objects
were made, so it walks them again and again and finds nothing: measured, for a quarter of the
worker's processor time. Here it runs now and then, for what failures leave behind.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SECONDS = 20.0
"""Between two collections. One takes about a tenth of a second."""


@asynccontextmanager
async def collected_by_the_clock(seconds: float = SECONDS) -> AsyncIterator[None]:
    """Collect every ``seconds`` in this block, and not by the number of new objects."""

    async def collect() -> None:
        while True:
            await asyncio.sleep(seconds)
            gc.collect()

    gc.collect()
    # What is loaded now stays: it need not be looked at again.
    gc.freeze()
    gc.disable()
    task = asyncio.ensure_future(collect())
    try:
        yield
    finally:
        task.cancel()
        gc.enable()
        gc.unfreeze()

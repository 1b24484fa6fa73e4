"""Contestant: Faust as it is installed, with an agent that does nothing with a JSON value.

``python -m bench.faust_noop BOOTSTRAP TOPIC GROUP EVENTS DIRECTORY``
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import faust
import uvloop

from bench.result import Result, Stopwatch, report


async def run(bootstrap: str, topic: str, group: str, events: int, directory: str) -> Result:
    """Count ``events`` events in a stock agent."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=directory,
        consumer_auto_offset_reset="earliest",
        topic_partitions=4,
        # Neither has a part in what an event costs; both cost time at the start.
        topic_disable_leader=True,
        web_enabled=False,
    )
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @app.agent(app.topic(topic, value_serializer="json"))  # type: ignore[untyped-decorator]
    async def no_op(stream: Any) -> None:
        seen = 0
        watch: Stopwatch | None = None
        async for _ in stream:
            if watch is None:
                watch = Stopwatch()
            seen += 1
            if seen == events:
                done.set_result(watch.stop(events))

    await app.start()
    try:
        return await done
    finally:
        await app.stop()


if __name__ == "__main__":
    address, name, group_id, count, folder = sys.argv[1:]
    uvloop.install()
    report(asyncio.run(run(address, name, group_id, int(count), folder)))

"""Contestant: Quix Streams as it is installed, with a dataframe that does nothing with JSON values.

``python -m bench.quix_noop BOOTSTRAP TOPIC GROUP EVENTS DIRECTORY``, in an environment of its
own (:mod:`bench.quix`).
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application

from bench.result import Result, Stopwatch, report


def run(bootstrap: str, topic: str, group: str, events: int, directory: str) -> Result:
    """Count ``events`` events in a streaming dataframe."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=directory,
        loglevel="ERROR",
    )
    seen = 0
    watch: Stopwatch | None = None
    result: Result | None = None

    def no_op(_: Any) -> None:
        nonlocal seen, watch, result
        if watch is None:
            watch = Stopwatch()
        seen += 1
        if seen == events:
            result = watch.stop(events)
            app.stop()

    app.dataframe(app.topic(topic, value_deserializer="json")).update(no_op)
    app.run()
    assert result is not None
    return result


if __name__ == "__main__":
    address, name, group_id, count, folder = sys.argv[1:]
    report(run(address, name, group_id, int(count), folder))

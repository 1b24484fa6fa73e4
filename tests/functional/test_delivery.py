"""The main job, on the embedded broker and on Apache Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.traces import check, signups
from tests.support.world import (
    Worker,
    assert_accounts_balance,
    consumed,
    produce,
    stand_in,
    until,
    workers,
)

pytestmark = pytest.mark.functional


async def test_every_event_once_in_order_with_the_right_identity(
    broker: str, new_topic, tmp_path: Path
) -> None:
    trace = signups(people=300, events=2000, seed=1)
    topic = await new_topic(broker, partitions=4)
    async with stand_in() as encharge:
        worker = Worker(
            broker,
            encharge.url,
            tmp_path,
            STREAMS_SOURCE_TOPIC=topic,
            STREAMS_APP_ID=f"app-{topic}",
            STREAMS_COALESCE="false",
        )
        async with workers(worker):
            await produce(broker, topic, trace.records(4))

            async def all_accounted_for() -> bool:
                metrics = await consumed(worker)
                return metrics["streams_events_consumed_total"] >= len(trace.events)

            await until(all_accounted_for, "all events consumed")
            assert_accounts_balance(await consumed(worker))
            assert await worker.stop() == 0
        check(trace, await encharge.requests())

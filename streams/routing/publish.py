"""The per-action streams as Kafka topics, for other consumers (``STREAMS_PUBLISH_ACTIONS``)."""

from __future__ import annotations

import orjson

from streams.engine.producer import BatchProducer, Record
from streams.routing.route import Share
from streams.settings import Settings


def published_topic(app_id: str, action: str) -> str:
    """The topic of a per-action stream."""
    return f"{app_id}-{action}"


class Publisher:
    """Publishes resolved events as JSON, keyed by person, in order.

    Guarantees: an event is acknowledged only when it is published too; one that is read
    again after a crash is published again, with the same messageId.
    """

    def __init__(self, producer: BatchProducer, settings: Settings) -> None:
        self._producer = producer
        self._app_id = settings.streams_app_id

    async def publish(self, action: str, share: Share) -> None:
        """Hand a share of a per-action stream to the producer."""
        # An event that several subscriptions of one action fire for is published once.
        events = {id(event): event for event, _, _ in share.events}.values()
        confirmation = await self._producer.send(
            published_topic(self._app_id, action),
            share.batch.partition,
            [Record(event.lane.encode(), orjson.dumps(event.event)) for event in events],
        )
        for progress in {id(event.progress): event.progress for event in events}.values():
            progress.confirmations.append(confirmation)

"""The per-action streams as Kafka topics, for other consumers (``STREAMS_PUBLISH_ACTIONS``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import orjson

from streams.avro import codec, schemas
from streams.avro.registry import Registry
from streams.engine.producer import BatchProducer, Record
from streams.events import Event
from streams.routing.route import Share
from streams.settings import PublishFormat, Settings

Encode = Callable[[Event], bytes]


def published_topic(app_id: str, action: str) -> str:
    """The topic of a per-action stream."""
    return f"{app_id}-{action}"


async def encoders(
    settings: Settings, actions: Iterable[str], registry: Registry | None
) -> Mapping[str, Encode]:
    """What writes a resolved event, by action; none unless they are to be published.

    As Avro, the schema is registered for each topic (its subject: ``<topic>-value``), where
    there is a registry. Raises ``SettingsError`` and ``RegistryError`` as registering does.
    """
    if not settings.streams_publish_actions:
        return {}
    if settings.streams_publish_format is PublishFormat.JSON:
        return dict.fromkeys(actions, orjson.dumps)
    if registry is None:
        return dict.fromkeys(actions, codec.resolved(None))
    schema = schemas.text_of(schemas.RESOLVED_EVENT)
    subjects = {a: f"{published_topic(settings.streams_app_id, a)}-value" for a in actions}
    return {
        action: codec.resolved(await registry.register(subject, schema))
        for action, subject in subjects.items()
    }


class Publisher:
    """Publishes resolved events as JSON or Avro, keyed by person, in order.

    Guarantees: an event is acknowledged only when it is published too; one that is read
    again after a crash is published again, with the same messageId.
    """

    def __init__(
        self, producer: BatchProducer, app_id: str, encoders: Mapping[str, Encode]
    ) -> None:
        """``encoders``: see :func:`encoders`."""
        self._producer = producer
        self._app_id = app_id
        self._encoders = encoders

    async def publish(self, action: str, share: Share) -> None:
        """Hand a share of a per-action stream to the producer."""
        # An event that several subscriptions of one action fire for is published once.
        events = {id(event): event for event, _, _ in share.events}.values()
        encode = self._encoders[action]
        confirmation = await self._producer.send(
            published_topic(self._app_id, action),
            share.batch.partition,
            [Record(event.lane.encode(), encode(event.event)) for event in events],
        )
        for progress in {id(event.progress): event.progress for event in events}.values():
            progress.confirmations.append(confirmation)

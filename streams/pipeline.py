"""The pipeline on one page: the stages in order, and what connects them.

::

    source topic(s)
        | ingest    decode, unwrap, validate, filter by `integrations`, re-key by person
        v
    <app id>-events        one partition holds all events of a person, in order
        | resolve   skip duplicates, learn and apply identities
        v
        | route     pick subscriptions
        v
    identify  track  page  group  alias  tag  untag  delete     per-action streams
        | one agent each: map events to requests
        |           (and publish them to <app id>-<action>, if asked to)
        v
    window    by size or age, coalesced                         one for each partition
        | deliver   a lane for each person
        v
    destination            -> delivered | coalesced
    dead letters           <- from ingest, resolve and deliver

Beside it, co-partitioned with ``<app id>-events``, two tables: ``identities`` (devices,
users, aliases) and ``<destination>-seen`` (messageIds that had their outcome).

With one destination, all of it is one consumer group. With several, resolve puts the events on
``<app id>-resolved``, and each destination reads them in a group of its own, from route on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from streams import agents
from streams.avro.reader import AvroReader
from streams.avro.registry import Registry
from streams.batching.coalesce import coalesce
from streams.batching.pending import Pending
from streams.batching.window import Windows
from streams.delivery.deliver import Deliverer, LaneDeliverer
from streams.delivery.dry_run import DryRun
from streams.delivery.limiter import RateLimiter
from streams.delivery.reach import Reach, WatchedSender
from streams.delivery.sender import HttpSender
from streams.destinations.registry import Configured
from streams.engine.app import ChunkApp
from streams.engine.chunks import ChunkTopic
from streams.engine.producer import BatchProducer
from streams.group import IDENTITIES, Group, changelog_config, seen_table
from streams.routing.publish import Encode, Publisher, encoders, published_topic
from streams.routing.resolve import HandOn, Resolve
from streams.routing.resolved import ResolvedReader, ResolvedWriter
from streams.routing.route import DELETE, Route
from streams.settings import Settings
from streams.source.ingest import Ingest
from streams.source.unpack import Unpacker
from streams.telemetry.metrics import AllMetrics
from streams.topics import TopicSpec, changelog, dead_letters, packed_events
from streams.web.server import Health

ACTIONS: Final = ("identify", "track", "page", "group", "alias", "tag", "untag", DELETE)
"""The per-action streams."""


def groups_of(settings: Settings, destinations: Sequence[str]) -> dict[str, Settings]:
    """The settings of the consumer group that delivers to each destination, by its name."""
    if len(destinations) == 1:
        return dict.fromkeys(destinations, settings)
    return {name: settings.of_group(name) for name in destinations}


def owned_topics(settings: Settings, destinations: Sequence[str]) -> list[TopicSpec]:
    """The topics of a pipeline to destinations of these names, but for the source topics."""
    groups = groups_of(settings, destinations).values()
    events, tables = [settings.stage_topic], [(settings, IDENTITIES)]
    if len(destinations) > 1:
        events.append(settings.resolved_topic)
        tables += [(group, seen_table()) for group in (settings, *groups)]
    else:
        tables.append((settings, seen_table(*destinations)))
    return [
        *(packed_events(settings, name) for name in events),
        *(changelog(group, table, changelog_config(group, table)) for group, table in tables),
        *(
            TopicSpec(published_topic(group.streams_app_id, action), group.streams_partitions)
            for group in groups
            if group.streams_publish_actions
            for action in ACTIONS
        ),
        dead_letters(settings),
    ]


async def published_as(
    settings: Settings, destinations: Sequence[str], registry: Registry | None
) -> Mapping[str, Mapping[str, Encode]]:
    """What writes the events that are published, by destination and action.

    Raises ``SettingsError`` and ``RegistryError`` as registering their schema does.
    """
    groups = groups_of(settings, destinations)
    return {name: await encoders(group, ACTIONS, registry) for name, group in groups.items()}


class Pipeline:
    """The stages of one worker, wired together."""

    def __init__(
        self,
        settings: Settings,
        *,
        sources: Sequence[str],
        destinations: Sequence[Configured],
        producer: BatchProducer,
        avro: AvroReader,
        encoders: Mapping[str, Mapping[str, Encode]],
        metrics: AllMetrics,
        health: Health,
        new_app: Callable[[Settings], ChunkApp],
        may_send: Callable[[], bool],
        stop: Callable[[], None],
    ) -> None:
        """``encoders`` writes what is published, by destination and action; empty: nothing is.

        ``may_send`` says whether the partitions are still this worker's.

        ``stop`` is called when so many events die that the worker may not go on.

        Raises ``SettingsError`` when the stores have no place.
        """
        self._settings = settings
        self._producer = producer
        self._encoders = encoders
        self._metrics = metrics
        self._health = health
        self._new_app = new_app
        self._may_send = may_send
        self._stop = stop
        self.groups: list[Group] = []
        self._deliveries: list[Delivery] = []
        if len(destinations) == 1:
            [only] = destinations
            name = only.destination.name
            front = self._group(settings, settings.stage_topic, name, seen=seen_table(name))
            hand_on = self._deliver(front, only)
        else:
            front = self._group(settings, settings.stage_topic, "", passes_on=True)
            writer = ResolvedWriter(
                producer, settings.resolved_topic, front.settlement, front.tasks
            )
            hand_on = writer.take
            for each in destinations:
                self._read_resolved(each)
        resolve = Resolve(
            intake=front.intake,
            identities=front.add_table(IDENTITIES),
            settlement=front.settlement,
            hand_on=hand_on,
            destinations=frozenset(each.destination.name for each in destinations),
            consumer=front.consumer,
        )
        front.app.when_abandoned(resolve.abandon)
        ingest = Ingest(
            producer=producer,
            stage_topic=settings.stage_topic,
            partitions=settings.streams_partitions,
            max_event_bytes=settings.streams_max_event_bytes,
            integrations=[each.destination.integration_names for each in destinations],
            dead_letters=front.dead_letters,
            metrics=metrics.of(""),
            tasks=front.tasks,
            consumer=front.consumer,
            unpacker=Unpacker(avro, max_event_bytes=settings.streams_max_event_bytes),
        )
        front.app.when_abandoned(ingest.abandon)
        agents.declare_ingest(front.app, ChunkTopic(front.app, topics=list(sources)), ingest)
        agents.declare_resolve(front.app, _topic(front), resolve)
        health.watch([group.app for group in self.groups])
        health.watch_destinations([delivery.away_because for delivery in self._deliveries])

    def _group(self, settings: Settings, topic: str, destination: str, **options: Any) -> Group:
        group = Group(
            settings,
            app=self._new_app(settings),
            topic=topic,
            destination=destination,
            producer=self._producer,
            metrics=self._metrics.of(destination),
            on_tripped=self._health.breaker_tripped,
            stop=self._stop,
            **options,
        )
        self.groups.append(group)
        return group

    def _deliver(self, group: Group, configured: Configured) -> HandOn:
        delivery = Delivery(
            group,
            configured,
            self._health,
            self._may_send,
            self._encoders.get(configured.destination.name, {}),
        )
        self._deliveries.append(delivery)
        return delivery.route.take

    def _read_resolved(self, configured: Configured) -> None:
        settings = configured.settings.of_group(configured.destination.name)
        group = self._group(settings, self._settings.resolved_topic, configured.destination.name)
        reader = ResolvedReader(
            intake=group.intake,
            settlement=group.settlement,
            destination=configured.destination,
            hand_on=self._deliver(group, configured),
        )
        agents.declare_resolved(group.app, _topic(group), reader)

    @property
    def tripped(self) -> str | None:
        """Why the breaker has stopped the worker, if it has."""
        return next((group.tripped for group in self.groups if group.tripped), None)

    async def close(self) -> None:
        """End background work. Call after the apps have stopped."""
        for delivery in self._deliveries:
            await delivery.close()
        for group in self.groups:
            await group.close()


class Delivery:
    """From resolved events to one destination."""

    def __init__(
        self,
        group: Group,
        configured: Configured,
        health: Health,
        may_send: Callable[[], bool],
        encoders: Mapping[str, Encode],
    ) -> None:
        settings = configured.settings
        self._group = group
        self._destination = configured.destination
        self._coalesces = settings.streams_coalesce
        self._reach = Reach()
        self._deliverer = self._new_deliverer(configured, health, may_send)
        self._windows = Windows(
            max_events=settings.streams_batch_max_events,
            max_bytes=settings.streams_batch_max_bytes,
            max_seconds=settings.streams_batch_max_seconds,
            flush=self._flush,
        )
        channels = agents.channels_for(group.app, ACTIONS)
        self.route = Route(
            destination=self._destination,
            streams=channels,
            submit=self._windows.add,
            settlement=group.settlement,
        )
        app_id = group.settings.streams_app_id
        publisher = Publisher(group.producer, app_id, encoders) if encoders else None
        agents.declare_actions(group.app, channels, self.route, publisher)
        group.when_draining(self._windows.flush_all)
        group.app.when_abandoned(self._abandon)
        group.metrics.before_reading(self._measure)
        group.when_halting(self._halt, self._deliverer.answered)

    def _new_deliverer(
        self, configured: Configured, health: Health, may_send: Callable[[], bool]
    ) -> Deliverer:
        settings, group = configured.settings, self._group
        if settings.streams_dry_run:
            return DryRun(group.settlement)
        sender = HttpSender(
            max_connections=settings.streams_max_concurrency,
            timeout_seconds=settings.streams_request_timeout_seconds,
        )
        return LaneDeliverer(
            destination=configured.destination,
            sender=WatchedSender(sender, self._reach),
            settlement=group.settlement,
            limiter=RateLimiter(
                settings.streams_max_requests_per_second,
                group.metrics,
                settings.streams_max_requests_burst,
            ),
            metrics=group.metrics,
            tasks=group.tasks,
            concurrency=settings.streams_max_concurrency,
            bulk_size=settings.streams_people_bulk_size if settings.streams_people_bulk else 0,
            retry_max_seconds=settings.streams_retry_max_seconds,
            circuit_failures=settings.streams_circuit_failures,
            may_call=may_send,
            on_misconfigured=partial(health.destination_refuses, configured.destination.name),
        )

    def away_because(self) -> str | None:
        """Why the destination is taken to be away; None when it is not, or nothing waits."""
        return self._reach.away_because() if self._group.intake.unsettled() else None

    def _measure(self) -> None:
        windows = self._windows.actions()
        self._group.metrics.waiting("window", windows)
        self._group.metrics.waiting("delivery", self._group.intake.actions() - windows)

    def _flush(self, partition: int, window: list[Pending]) -> None:  # noqa: ARG002
        self._group.metrics.window(len(window))
        events: Iterable[Pending] = window
        try:
            if self._coalesces:
                events = coalesce(window, self._destination.merge)
            self._deliverer.take(events)
        except Exception as error:
            # A timer called, and would only log it; the window's events would wait for ever.
            self._group.fail(error)

    def _abandon(self) -> None:
        self._windows.clear()
        self._deliverer.abandon()
        self.route.abandon()

    def _halt(self) -> None:
        self._deliverer.halt()
        self._windows.clear()

    async def close(self) -> None:
        """Make no more calls."""
        await self._deliverer.close()


def _topic(group: Group) -> Any:
    return ChunkTopic(group.app, topics=[group.topic])

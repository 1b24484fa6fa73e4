"""The topics this program owns: their names, their settings, and that they exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.errors import BrokerError, SettingsError
from streams.settings import Settings

log = structlog.get_logger(__name__)

PREFERRED_REPLICAS = 3

STAGE_RETENTION_MS = 30 * 24 * 3600 * 1000
"""How long events may wait for a destination before Kafka deletes them."""

MAX_DEAD_LETTER_BYTES = 16 * 1024 * 1024
"""Source topics may take larger records than the broker's default: so must dead letters."""

DEAD_LETTERS = {
    "retention.ms": "-1",
    "max.message.bytes": str(MAX_DEAD_LETTER_BYTES),
    "segment.bytes": str(4 * MAX_DEAD_LETTER_BYTES),
}
"""How the dead-letter topic is made: nothing in it is deleted, and a segment holds the largest."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic that must exist. ``config`` is used only when it is created."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    is_exact: bool = True
    """Whether another number of partitions would be wrong."""


def changelog_topic(settings: Settings, table: str) -> str:
    """The topic that holds a table's rows: Faust's name for it."""
    return f"{settings.streams_app_id}-{table}-changelog"


def packed_events(settings: Settings, name: str) -> TopicSpec:
    """A topic of packed events that wait for the next stage."""
    config = {"cleanup.policy": "delete", "retention.ms": str(STAGE_RETENTION_MS)}
    return TopicSpec(name, settings.streams_partitions, config)


def changelog(settings: Settings, table: str, config: Mapping[str, str]) -> TopicSpec:
    """The changelog topic of a table, co-partitioned with the events that it is about."""
    return TopicSpec(changelog_topic(settings, table), settings.streams_partitions, config)


def dead_letters(settings: Settings) -> TopicSpec:
    """The topic of dead letters."""
    return TopicSpec(settings.dlq_topic, settings.streams_partitions, DEAD_LETTERS, is_exact=False)


async def ensure(settings: Settings, specs: list[TopicSpec]) -> list[str]:
    """Create what is missing, and give the names of the source topics.

    A source topic that does not exist is created too, with STREAMS_PARTITIONS partitions,
    so that a worker may be started before its producer. Raises ``BrokerError`` when Kafka
    cannot be reached or refuses, ``SettingsError`` when a topic has another number of
    partitions than STREAMS_PARTITIONS says or a pattern matches nothing.
    """
    admin = AIOKafkaAdminClient(**settings.kafka_client_options())
    try:
        await admin.start()
        existing = await admin.list_topics()
        sources = source_names(settings.streams_source_topic, existing)
        wanted = [
            *specs,
            *(TopicSpec(name, settings.streams_partitions, is_exact=False) for name in sources),
        ]
        await _check(admin, [spec for spec in wanted if spec.name in existing])
        missing = [spec for spec in wanted if spec.name not in existing]
        for name in sources:
            if name not in existing:
                log.warning("source topic does not exist and is made", topic=name)
        if missing:
            await _create(admin, missing, await _replicas(admin, settings))
    except KafkaError as error:
        raise BrokerError(
            f"KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}: {error}"
        ) from error
    finally:
        await admin.close()
    return sources


def source_names(setting: str, existing: list[str]) -> list[str]:
    """The topics that STREAMS_SOURCE_TOPIC names: a list, or a pattern that starts with ``^``."""
    if not setting.startswith("^"):
        names = [name.strip() for name in setting.split(",") if name.strip()]
        if not names:
            raise SettingsError("STREAMS_SOURCE_TOPIC: names no topic")
        return names
    try:
        pattern = re.compile(setting)
    except re.error as error:
        raise SettingsError(f"STREAMS_SOURCE_TOPIC: not a pattern: {error}") from error
    names = sorted(name for name in existing if pattern.match(name) and not name.startswith("__"))
    if not names:
        raise SettingsError(f"STREAMS_SOURCE_TOPIC: no topic matches {setting}")
    return names


async def _check(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
    described = await admin.describe_topics([spec.name for spec in specs]) if specs else []
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    for spec in specs:
        found = partitions.get(spec.name, 0)
        if spec.is_exact and found and found != spec.partitions:
            raise SettingsError(
                f"STREAMS_PARTITIONS is {spec.partitions}, but {spec.name} has {found}: "
                "set it to that, or choose another STREAMS_APP_ID"
            )


async def _replicas(admin: AIOKafkaAdminClient, settings: Settings) -> int:
    if settings.streams_replication_factor is not None:
        return settings.streams_replication_factor
    cluster: Mapping[str, Any] = await admin.describe_cluster()
    return max(1, min(PREFERRED_REPLICAS, len(cluster["brokers"])))


async def _create(admin: AIOKafkaAdminClient, specs: list[TopicSpec], replicas: int) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(
                name=spec.name,
                num_partitions=spec.partitions,
                replication_factor=replicas,
                topic_configs=dict(spec.config),
            )
            for spec in specs
        ]
    )
    for name, code, *detail in answer.topic_errors:
        # Another worker may have been quicker.
        if code not in (0, TopicAlreadyExistsError.errno):
            raise BrokerError(f"cannot create topic {name}: {for_code(code).__name__} {detail}")
    log.info("topics created", topics=[spec.name for spec in specs], replicas=replicas)

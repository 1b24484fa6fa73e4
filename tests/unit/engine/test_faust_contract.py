"""What the engine relies on inside Faust, mode and aiokafka.

These tests fail when one of them moves. That is their purpose: a new version may well work, but
somebody has to read what changed before events depend on it. Each failure says what to look at;
`streams/engine/README.md` says what hooks in where. When you have read it, put the new
fingerprint here. The integration and functional tests on Apache Kafka then have the last word.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import faust.streams
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher as ClientFetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from faust.app.base import App
from faust.channels import Channel
from faust.stores.base import Store
from faust.streams import Stream
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.topics import Topic
from faust.transport import consumer
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage, Message
from mode.services import Service
from mode.utils.queues import FlowControlEvent, FlowControlQueue, ThrowableQueue

from streams.engine.app import ChunkApp
from streams.engine.chunks import ChangelogTopic, Chunk, LocalChannel, UndecodedTopic
from streams.engine.consumer import ChunkConsumer, ChunkConsumerThread, ChunkTransport
from streams.engine.recovery import ChangelogChunk
from streams.engine.tables import RECOVERY_CHUNKS, ChunkTable, PartitionedStore

ADVICE = (
    "Read what changed, compare it with streams/engine, run the tests on Apache Kafka, "
    "and only then correct this test."
)


# -- versions


def test_the_version_is_the_one_that_the_engine_was_proved_on() -> None:
    found = importlib.metadata.version("faust-streaming")
    assert found == "0.15.3", f"faust-streaming is {found}, proved is 0.15.3. {ADVICE}"


def test_the_client_is_of_the_series_that_the_engine_was_proved_on() -> None:
    found = importlib.metadata.version("aiokafka")
    assert found.startswith("0.14."), f"aiokafka is {found}, proved is 0.14. {ADVICE}"


# -- what is overridden must be there, with the same parameters

OVERRIDDEN = [
    (ChunkConsumer, driver.Consumer, "_drain_messages"),
    (ChunkConsumer, driver.Consumer, "_new_consumer_thread"),
    (ChunkConsumer, driver.Consumer, "ack"),
    (ChunkConsumer, driver.Consumer, "_filter_committable_offsets"),
    (ChunkConsumer, driver.Consumer, "wait_empty"),
    (ChunkConsumer, driver.Consumer, "on_partitions_revoked"),
    (ChunkConsumer, driver.Consumer, "on_buffer_drop"),
    (ChunkConsumer, driver.Consumer, "seek_wait"),
    (ChunkConsumer, driver.Consumer, "stop_flow"),
    (ChunkConsumer, driver.Consumer, "perform_seek"),
    (ChunkConsumer, driver.Consumer, "resume_flow"),
    (ChunkConsumerThread, driver.AIOKafkaConsumerThread, "_create_worker_consumer"),
    (UndecodedTopic, Topic, "_compile_decode"),
    (Chunk, ConsumerMessage, "on_final_ack"),
    (ChunkApp, App, "_new_transport"),
    (ChunkApp, App, "_on_agent_error"),
    (ChunkTable, Collection, "_new_store"),
    (ChunkTable, Collection, "on_changelog_event"),
    (ChunkTable, Collection, "as_ansitable"),
    (PartitionedStore, Store, "persisted_offset"),
    (PartitionedStore, Store, "apply_changelog_batch"),
    (PartitionedStore, Store, "on_rebalance"),
    (PartitionedStore, Store, "reset_state"),
    (PartitionedStore, Store, "backup_partition"),
    (PartitionedStore, Store, "restore_backup"),
]


@pytest.mark.parametrize(
    ("ours", "theirs", "name"), OVERRIDDEN, ids=[f"{o.__name__}.{n}" for o, _, n in OVERRIDDEN]
)
def test_what_the_engine_overrides_is_called_as_before(ours: Any, theirs: Any, name: str) -> None:
    original = inspect.getattr_static(theirs, name, None)
    assert original is not None, f"{theirs.__name__}.{name} is gone: ours is never called. {ADVICE}"
    assert name in vars(ours)
    mine, base = getattr(ours, name), getattr(theirs, name)
    assert inspect.iscoroutinefunction(inspect.unwrap(mine)) == inspect.iscoroutinefunction(
        inspect.unwrap(base)
    ), f"{theirs.__name__}.{name} changed between def and async def. {ADVICE}"
    takes_all = {p.kind for p in inspect.signature(mine).parameters.values()} >= {
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }
    if not takes_all:
        wanted = [p for p in inspect.signature(base).parameters if p != "self"]
        given = [p for p in inspect.signature(mine).parameters if p != "self"]
        # Names may differ, numbers not: Faust passes these by position.
        if inspect.signature(mine).parameters.keys() & {"_"}:
            return
        assert len(given) == len(wanted), (
            f"{theirs.__name__}.{name} takes {wanted}, ours {given}. {ADVICE}"
        )


def test_the_message_of_a_chunk_is_built_with_the_parameters_that_are_there() -> None:
    wanted = set(inspect.signature(Message.__init__).parameters)
    assert {"topic", "partition", "offset", "timestamp", "tp", "generation_id"} <= wanted
    slots = set(Message.__slots__)
    assert {"acked", "tracked", "refcount", "generation_id"} <= slots
    assert ConsumerMessage.use_tracking, "a chunk would count as started before an agent has it"


# -- what is read or called must be there

USED: list[tuple[Any, str]] = [
    *(
        (consumer.Consumer, name)
        for name in (
            "getmany",
            "commit",
            "commit_and_end_transactions",
            "maybe_wait_for_commit_to_finish",
            "_should_commit",
            "_wait_for_ack",
            "_get_active_partitions",
            "on_buffer_full",
            "pause_partitions",
            "resume_partitions",
            "perform_seek",
            "stop_flow",
            "resume_flow",
            "consumer_stopped_errors",
            "flow_active",
            "_to_message",
        )
    ),
    *((driver.Consumer, name) for name in ("_getmany", "highwater", "assignment")),
    *((driver.AIOKafkaConsumerThread, name) for name in ("getmany", "_fetch_records")),
    (driver.Transport, "Consumer"),
    *((Service, name) for name in ("wait", "wait_first", "sleep", "should_stop", "crash")),
    *((Service, name) for name in ("started", "crashed", "crash_reason", "wait_for_stopped")),
    *((App, name) for name in ("monitor", "consumer", "tables", "topics", "flow_control")),
    *((App, name) for name in ("_on_partitions_revoked", "_stop_consumer")),
    (TableManager, "add"),
    *((Collection, name) for name in ("persisted_offset", "apply_changelog_batch", "data")),
    *((Collection, name) for name in ("changelog_topic_name", "_changelog_compacting")),
    (Collection, "_changelog_deleting"),
    *((Stream, name) for name in ("noack", "events")),
    *((Channel, name) for name in ("queue", "put")),
    (Conductor, "acks_enabled_for"),
    (FlowControlQueue, "put_nowait_enhanced"),
    *((AIOKafkaProducer, name) for name in ("create_batch", "send_batch", "partitions_for")),
    *((BatchBuilder, name) for name in ("append", "record_count", "close")),
    (ClientFetcher, "fetched_records"),
    *((Recovery, name) for name in ("_slurp_changelogs", "should_stop")),
    (Recovery, "num_samples_required_for_estimate"),
    (TableManager, "recovery"),
    (Topic, "_clone_args"),
    (SubscriptionState, "subscription"),
    *((TopicPartitionState, name) for name in ("position", "has_valid_position")),
]


@pytest.mark.parametrize(("owner", "name"), USED, ids=[f"{o.__name__}.{n}" for o, n in USED])
def test_what_the_engine_uses_is_there(owner: Any, name: str) -> None:
    gone = object()
    assert inspect.getattr_static(owner, name, gone) is not gone, (
        f"{owner.__name__}.{name} is gone. {ADVICE}"
    )


@pytest.fixture
async def app() -> ChunkApp:
    return ChunkApp(
        "contract", drain_seconds=0, broker="kafka://", store="memory://", web_enabled=False
    )


async def test_the_consumer_has_the_state_that_the_engine_reads(app: ChunkApp) -> None:
    assert isinstance(app.transport, ChunkTransport)
    made = app.transport.create_consumer(
        callback=lambda message: None,
        on_partitions_revoked=lambda revoked: None,
        on_partitions_assigned=lambda assigned: None,
        beacon=app.beacon,
    )
    try:
        assert type(made) is ChunkConsumer
        assert isinstance(made._thread, ChunkConsumerThread)
        # Missing keys are None: the engine asks for partitions that were never read.
        assert made._read_offset["x"] is None
        assert made._committed_offset["y"] is None
        for name in ("_active_partitions", "_paused_partitions", "_unacked_messages"):
            assert len(getattr(made, name)) == 0
        assert made.suspend_flow.is_set() is made.can_resume_flow.is_set() is False
        assert made._waiting_for_ack is None
        assert made.callback is not None
    finally:
        made._thread.thread_loop.close()
    assert app.consumer_generation_id is not None


async def test_aiokafka_has_the_two_knobs_that_are_set_from_outside(app: ChunkApp) -> None:
    client = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1", fetch_max_wait_ms=1234)
    # Read when the client starts, so setting it before then has its effect.
    assert client._fetch_max_wait_ms == 1234, f"no such attribute any more. {ADVICE}"
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    accumulator = producer._message_accumulator
    assert isinstance(accumulator, MessageAccumulator)
    assert isinstance(accumulator._batch_ttl, int | float), (
        f"batches would be dropped again after a time, and a person's events reordered. {ADVICE}"
    )
    assert inspect.iscoroutinefunction(producer._sender._send_produce_req), (
        f"a worker that was silent for too long would send what it has left. {ADVICE}"
    )
    await client.stop()
    await producer.stop()


async def test_a_local_channel_has_a_queue_of_its_own(app: ChunkApp) -> None:
    channel = LocalChannel(app)
    agent_s = aiter(channel)
    app.flow_control.suspend()
    await channel.put("started")
    app.flow_control.clear()
    queue = agent_s.queue
    assert isinstance(queue, ThrowableQueue)
    assert queue.qsize() == 1, (
        f"a rebalance empties it: what it held is neither finished nor read again. {ADVICE}"
    )
    assert isinstance(queue._flow_control, FlowControlEvent)
    assert queue._flow_control.is_active()
    async with asyncio.timeout(1):
        assert await anext(agent_s) == "started", f"it can only finish after the drain. {ADVICE}"


async def test_a_queue_of_a_topic_is_emptied_by_a_rebalance(app: ChunkApp) -> None:
    queue = app.FlowControlQueue(maxsize=4, clear_on_resume=True)
    queue.force_put_nowait("chunk")
    app.flow_control.suspend()
    app.flow_control.clear()
    assert queue.empty(), f"an agent would work on a chunk of another worker. {ADVICE}"


async def test_a_table_that_is_added_is_recovered(app: ChunkApp) -> None:
    table = ChunkTable(
        app,
        name="t",
        partitions=1,
        open_store=lambda partition: None,  # type: ignore[arg-type,return-value]
        producer=None,  # type: ignore[arg-type]
    )
    assert app.tables.add(table) is table
    assert app.tables["t"] is table
    assert table.changelog_topic_name == "contract-t-changelog"
    assert isinstance(table.data, PartitionedStore)
    assert not asyncio.iscoroutinefunction(PartitionedStore.apply_changelog_batch)


async def test_recovery_has_the_state_that_the_engine_reads_and_puts_right(app: ChunkApp) -> None:
    recovery = app.tables.recovery
    assert not recovery.in_recovery
    for name in ("active_offsets", "standby_offsets", "active_highwaters"):
        assert isinstance(getattr(recovery, name), Counter), f"{name}. {ADVICE}"
    for name in ("active_tps", "standby_tps"):
        assert isinstance(getattr(recovery, name), set), f"{name}. {ADVICE}"


async def test_a_changelog_delivers_chunks_and_is_not_acknowledged(app: ChunkApp) -> None:
    table = ChunkTable(
        app,
        name="t",
        partitions=3,
        open_store=lambda partition: None,  # type: ignore[arg-type,return-value]
        producer=None,  # type: ignore[arg-type]
    )
    app.tables.add(table)
    clone = table.changelog_topic.clone_using_queue(app.tables.changelog_queue)
    assert isinstance(clone, ChangelogTopic)
    assert app.chunked_changelogs == {"contract-t-changelog"}
    assert app.chunked_topics == set(), "lag is measured on those"
    # As Faust made it: what its assignor and conductor look at.
    assert (clone.partitions, clone.acks, clone.internal) == (3, False, True)
    chunk: Any = SimpleNamespace()
    assert (await clone.decode(chunk)).message is chunk
    assert table.recovery_buffer_size == table.standby_buffer_size == RECOVERY_CHUNKS
    assert RECOVERY_CHUNKS > 1, "Faust goes on reading the changelog of a table with 1"


def test_a_changelog_chunk_is_a_message() -> None:
    assert issubclass(ChangelogChunk, ConsumerMessage)


# -- functions whose exact behaviour the engine relies on

RELIED_ON: list[tuple[Any, str, str, str]] = [
    (
        consumer.Consumer,
        "_drain_messages",
        "292ceca3",
        "ChunkConsumer._drain_messages replaces it: is there something new that it does, such as "
        "another check before delivery, another error that is expected, another flag?",
    ),
    (
        consumer.Consumer,
        "getmany",
        "0f156ece",
        "ChunkConsumer._next_records and _deliver replace it: look at generation, flow and "
        "buffered partitions.",
    ),
    (
        consumer.Consumer,
        "_wait_next_records",
        "42d8b2a2",
        "ChunkConsumer._next_records replaces it: when may records be fetched?",
    ),
    (
        consumer.Consumer,
        "wait_empty",
        "1bfa5513",
        "ChunkConsumer.wait_empty replaces it, with an end.",
    ),
    (
        consumer.Consumer,
        "ack",
        "8c9d7f35",
        "ChunkConsumer.ack replaces it for chunks: what else must an acknowledgement do?",
    ),
    (
        consumer.Consumer,
        "_filter_committable_offsets",
        "f05ad041",
        "ChunkConsumer adds the chunked partitions to its result.",
    ),
    (
        consumer.Consumer,
        "_should_commit",
        "f364ecf8",
        "Decides which of the chunks' offsets are committed.",
    ),
    (
        consumer.Consumer,
        "force_commit",
        "2fec4fdd",
        "Must still ask _filter_committable_offsets when no single record was acknowledged.",
    ),
    (
        consumer.Consumer,
        "_commit_offsets",
        "469ed514",
        "What is not assigned any more must not be committed; _committed_offset is the horizon "
        "of the identity rows.",
    ),
    (
        consumer.Consumer,
        "perform_seek",
        "d3e8527b",
        "After a rebalance everything unfinished must be read again: position and _read_offset "
        "both go back to what is committed.",
    ),
    (
        consumer.Consumer,
        "on_partitions_revoked",
        "2cbb9350",
        "ChunkConsumer abandons its chunks after it.",
    ),
    (
        consumer.Consumer,
        "on_buffer_drop",
        "0bbeaf64",
        "Must not make a paused partition active; ChunkConsumer corrects it.",
    ),
    (
        driver.AIOKafkaConsumerThread,
        "_fetch_records",
        "390594dd",
        "Records of a stopped flow are not fetched; fetched ones are not dropped.",
    ),
    (
        driver.AIOKafkaConsumerThread,
        "_commit",
        "3659c476",
        "What a failed commit does: the engine takes the committed offsets from Faust.",
    ),
    (
        App,
        "_on_partitions_revoked",
        "eb7d2a49",
        "In this order: flow stopped, queues emptied, started chunks waited for. A chunk that is "
        "delivered in between would be lost or done twice.",
    ),
    (
        App,
        "_stop_consumer",
        "d5ad74f5",
        "The same order at a stop.",
    ),
    (
        Recovery,
        "on_recovery_completed",
        "6f5a5057",
        "In this order: seek to the committed offsets, then let records flow.",
    ),
    (
        Recovery,
        "_add",
        "a3d6ad09",
        "Asks persisted_offset for where to go on, which opens the store.",
    ),
    (
        Recovery,
        "on_rebalance",
        "d983305e",
        "Offsets of tables that were lost must be forgotten.",
    ),
    (
        Recovery,
        "_slurp_changelogs",
        "a0fe139f",
        "Takes changelog chunks for records. In this order: offset compared, counted, buffered, "
        "on_changelog_event (where a chunk may be refused and the count put back), stored, and "
        "only then asked whether recovery is over.",
    ),
    (
        Recovery,
        "_restart_recovery",
        "65d3b4da",
        "In this order: buffers flushed, highwaters, offsets, seek, flow resumed. Flow is resumed "
        "again for standbys, which empties the queue: chunks that are lost by that are read again.",
    ),
    (
        Recovery,
        "flush_buffers",
        "dd7c9f4a",
        "Stores what was buffered, also of partitions that are gone: the store leaves those out.",
    ),
    (
        Recovery,
        "_build_offsets",
        "53dce7f6",
        "-1 from persisted_offset must mean: from the beginning.",
    ),
    (
        Recovery,
        "_build_highwaters",
        "a0e62c92",
        "Counts up to the last offset, which need not be a record's.",
    ),
    (
        Recovery,
        "_seek_offsets",
        "875e5bfb",
        "Seeks with seek_wait, where the engine begins to count, to the last offset that is had.",
    ),
    (
        Recovery,
        "active_remaining",
        "6cdfdaac",
        "Recovery is over when every offset has reached its highwater.",
    ),
    (
        driver.AIOKafkaConsumerThread,
        "_seek_wait",
        "2f16c19b",
        "Moves the client's position, which the engine reads to find where a topic ends.",
    ),
    (
        Collection,
        "_new_changelog_topic",
        "96fbf7a9",
        "The engine's changelog topic is made with the same options.",
    ),
    (
        FlowControlEvent,
        "resume",
        "9cc7fb6b",
        "Empties the queue of the changelogs.",
    ),
    (
        PartitionRecords,
        "_unpack_records",
        "4a783bfd",
        "The position passes over what holds no record: transaction markers, compacted batches.",
    ),
    (
        ClientFetcher,
        "fetched_records",
        "2a68fb43",
        "The position moves with what is returned, never ahead of it.",
    ),
    (
        Stream,
        "_py_aiter",
        "751e1253",
        "Marks a chunk as tracked when an agent takes it, and acknowledges what it skips without "
        "that mark: ChunkConsumer.ack tells them apart by it.",
    ),
    (
        Stream,
        "_c_aiter",
        "a04d736a",
        "As _py_aiter; faust/_cython/streams.pyx has the other half.",
    ),
    (
        Collection,
        "apply_changelog_batch",
        "aebca0a2",
        "PartitionedStore.apply_changelog_batch gets the events, whose messages are chunks.",
    ),
    (
        Conductor,
        "_compile_message_handler",
        "8106e91c",
        "Delivers without waiting for room: the engine bounds what waits by pausing.",
    ),
    (
        FlowControlQueue,
        "put_nowait_enhanced",
        "80c54095",
        "As the conductor's handler.",
    ),
    (
        Service,
        "wait_first",
        "19fc80e7",
        "A delivery that loses against suspend_flow is cancelled; its chunk is in the "
        "acknowledgement queue already, unfinished.",
    ),
]


def fingerprint(function: Callable[..., Any]) -> str:
    """Of the code as written, without what does not change what it does: comments, layout."""
    # mode's background tasks are objects around their functions.
    function = getattr(function, "fun", function)
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    lines = [line for line in source.splitlines() if not line.strip().startswith("#")]
    return hashlib.sha256("\n".join(filter(str.strip, lines)).encode()).hexdigest()[:8]


@pytest.mark.parametrize(
    ("owner", "name", "known", "look_at"),
    RELIED_ON,
    ids=[f"{owner.__name__}.{name}" for owner, name, _, _ in RELIED_ON],
)
def test_what_the_engine_relies_on_is_as_it_was_read(
    owner: Any, name: str, known: str, look_at: str
) -> None:
    found = fingerprint(getattr(owner, name))
    assert found == known, (
        f"{owner.__module__}.{owner.__name__}.{name} changed ({known} -> {found}).\n"
        f"What to re-check: {look_at}\n{ADVICE}"
    )


def test_faust_runs_with_its_compiled_streams_here() -> None:
    # Not required, but the two implementations differ in what they do with a skipped chunk;
    # where this fails, the tests run the pure-Python one.
    assert faust.streams._CStreamIterator is not None

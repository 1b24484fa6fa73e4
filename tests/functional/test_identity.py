"""``streams identity``, asked of a broker that a worker writes to."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.cli import identity as cli
from streams.engine.changelog import Changelog
from streams.engine.producer import BatchProducer, Record
from streams.identity.answer import Answer
from streams.lookup import as_object
from streams.settings import Settings
from tests.functional.conftest import World, event
from tests.support.kafka import Broker
from tests.support.world import workers

pytestmark = pytest.mark.functional


async def identity(
    broker: Broker, app_id: str, *arguments: str, **variables: str
) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)"""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KAFKA_", "STREAMS_", "ENCHARGE_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams", "identity", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **environment,
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "STREAMS_APP_ID": app_id,
            **variables,
        },
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def asked(world: World, subject: str, **options: bool) -> dict[str, Any] | None:
    """The answer as JSON has it, without the start of a process; None if nothing is known."""
    settings = Settings(
        kafka_bootstrap_servers=world.broker.bootstrap,
        streams_app_id=f"app-{world.topic}",
        # The topic's count is the one that counts, whatever is set here.
        streams_partitions=7,
    )
    answer = await cli._ask(settings, subject, **{"is_device_only": False, **options})
    if answer == Answer(None, None):
        return None
    found: dict[str, Any] = as_object(subject, settings.stage_topic, answer)
    return found


async def test_the_answers_follow_what_the_worker_learns(world: World) -> None:
    # The changelog is asked, so it makes no difference where the worker keeps its rows.
    store = "memory" if world.broker.kind == "embedded" else "rocksdb"
    worker = world.worker(STREAMS_TABLE_STORE=store)
    app_id = f"app-{world.topic}"
    devices = [f"device-{n}" for n in range(6)]
    async with workers(worker):
        await world.feed(
            *(
                event("identify", d, anonymousId=d, userId="old", traits={"email": "o@x.org"})
                for d in devices
            ),
            event("page", "other", anonymousId="other-device", userId="other"),
        )
        await world.settled(7, worker)
        status, out, err = await identity(world.broker, app_id, "--json", "device-0")
        assert (status, err, out.count("\n")) == (0, "", 1)
        device = orjson.loads(out)["device"]
        assert (device["userId"], device["email"]) == ("old", "o@x.org")
        assert device["login"]["messageId"] == "m-device-0"
        user = (await asked(world, "old"))["user"]
        assert sorted(d["anonymousId"] for d in user["devices"]) == devices
        assert len({d["since"]["partition"] for d in user["devices"]}) > 1, "of several partitions"
        assert await asked(world, "new") is None

        await world.feed(event("alias", "becomes", previousId="old", userId="new"))
        await world.settled(8, worker)
        device = (await asked(world, "device-0", is_device_only=True))["device"]
        assert (device["userId"], device["login"]["userId"]) == ("new", "old")
        assert [step["messageId"] for step in device["aliases"]] == ["m-becomes"]
        user = (await asked(world, "new"))["user"]
        assert [step["previousId"] for step in user["formerIds"]] == ["old"]
        assert sorted(d["anonymousId"] for d in user["devices"]) == devices
        assert (await asked(world, "old"))["user"]["userId"] == "new"

        await world.feed(event("delete", "gone", userId="new"))
        await world.settled(9, worker)
        for forgotten in ("new", "old", "device-0"):
            assert await asked(world, forgotten) is None
        assert await asked(world, "device-0", is_device_only=True) is None
        assert await worker.stop() == 0
    # No worker is asked, nor its disk.
    status, out, err = await identity(world.broker, app_id, "other")
    assert (status, err) == (0, "")
    assert out.split()[:4] == ["user", "other", "device", "other-device"]
    status, out, err = await identity(world.broker, app_id, "new")
    assert (status, out) == (1, "")
    assert err == f"streams: nothing is known of new (STREAMS_APP_ID={app_id})\n"


async def test_an_app_that_has_not_run_is_named_and_its_topic_not_made(world: World) -> None:
    app_id = f"never-{world.topic}"
    status, out, err = await identity(world.broker, app_id, "u")
    assert (status, out) == (1, "")
    assert err.startswith(f"streams: STREAMS_APP_ID={app_id}: no worker of this app id has run")
    assert err.count("\n") == 1
    admin = AIOKafkaAdminClient(bootstrap_servers=world.broker.bootstrap)
    await admin.start()
    try:
        assert not [name for name in await admin.list_topics() if name.startswith("never-")]
    finally:
        await admin.close()


@pytest.mark.kafka
async def test_a_changelog_that_is_compacted_is_read_to_its_end(kafka: Broker, unique: str) -> None:
    await kafka.create_topic(
        unique, 2, cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio="0.01",
        delete_retention_ms=0, max_compaction_lag_ms=100,
    )  # fmt: skip
    producer = BatchProducer(max_batch_bytes=900_000, bootstrap_servers=kafka.bootstrap)
    await producer.start()
    rows: dict[bytes, bytes | None] = {}
    written = 0
    try:
        for turn in range(60):
            changed = {
                b"%d" % n: None if turn % 3 == 2 else b"%d" % turn for n in range(turn % 7, 40, 2)
            }
            await (await producer.send(unique, 1, [Record(k, v) for k, v in changed.items()]))
            rows |= changed
            written += len(changed)
            await asyncio.sleep(0.1)
    finally:
        await producer.stop()
    read: dict[bytes, bytes | None] = {}
    taken = 0
    progress: list[tuple[int, int]] = []

    def take(partition: int, key: bytes, value: bytes | None) -> None:
        nonlocal taken
        assert partition == 1, "the other one is empty"
        taken += 1
        read[key] = value

    def tell(done: int, total: int) -> None:
        progress.append((done, total))

    async with Changelog(unique, on_progress=tell, bootstrap_servers=kafka.bootstrap) as changelog:
        assert changelog.partitions == 2
        await changelog.read([0, 1], take)
        assert {k: v for k, v in read.items() if v} == {k: v for k, v in rows.items() if v}
        assert taken < written, "compacted, or there was nothing to test"
        assert progress[-1][0] == progress[-1][1] > 0
        before, taken = taken, 0
        await changelog.read([1], take)
        assert 0 < taken <= before, "again, from the beginning"

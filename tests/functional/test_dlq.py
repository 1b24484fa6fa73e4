"""Dead letters from end to end: found, understood, sent through again; and the breaker."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from typing import Any

import orjson
import pytest

from streams.dead_letters.archive import Archive
from streams.dead_letters.letter import as_object
from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.record import DeadLetter
from streams.dead_letters.selection import Selection
from streams.engine.producer import BatchProducer
from streams.engine.reader import TopicReader
from streams.events import Origin
from tests.functional.conftest import World, event, text
from tests.support.world import assert_accounts_balance, consume, consumed, until, workers

pytestmark = pytest.mark.functional


async def dlq(world: World, *arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of ``streams dlq``."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KAFKA_", "STREAMS_", "ENCHARGE_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams", "dlq", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **environment,
            "KAFKA_BOOTSTRAP_SERVERS": world.broker.bootstrap,
            "STREAMS_APP_ID": f"app-{world.topic}",
        },
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def ls(world: World, **filters: Any) -> list[dict[str, Any]]:
    """What ``ls --json`` shows, without the start of a process."""
    async with TopicReader(
        f"app-{world.topic}-dead-letters", bootstrap_servers=world.broker.bootstrap
    ) as reader:
        found = await Archive(reader).collect(Selection(**filters))
        return [as_object(letter) for letter in found.in_order()]


async def test_a_dead_letter_is_found_redriven_and_delivered_once(world: World) -> None:
    await world.encharge.faults(
        {"match": {"anonymousId": "ill"}, "fault": {"status": 422, "body": {"error": "no field"}}}
    )
    # Without a messageId and a timestamp of its own, both come from its place and time.
    nameless = {"type": "track", "anonymousId": "ill", "event": "Nameless"}
    worker = world.worker()
    async with workers(worker):
        places = await world.feed(
            event("track", 1, anonymousId="ill"),
            nameless,
            event("track", 3, anonymousId="well"),
            b'{"type": "tr',
        )
        await world.settled(4, worker)

        status, out, err = await dlq(world, "ls", "--since", "1h")
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert len(lines) == 3
        assert sum("rejected  422  x1  ill" in line for line in lines) == 2
        assert sum("not-json" in line for line in lines) == 1
        letters = await ls(world, people=["ill"], stages=["deliver"])
        first = next(x for x in letters if x["source"]["offset"] == places[0][1])
        assert first["source"]["partition"] == places[0][0]
        assert await ls(world, people=["well"]) == []
        times = [datetime.fromisoformat(x["buriedAt"]) for x in await ls(world)]
        newest = int(times[-1].timestamp() * 1000)
        assert times == sorted(times)
        assert await ls(world, since=newest + 1) == []
        assert len(await ls(world, since=newest)) == times.count(times[-1])
        assert len(await ls(world, until=newest)) == 3 - times.count(times[-1])

        status, out, err = await dlq(world, "show", first["id"])
        assert (status, err) == (0, "")
        assert "no field" in out
        assert '"messageId":"m-1"' in out

        # Not mended yet: a dead letter again, with the try counted.
        status, out, err = await dlq(world, "redrive", first["id"], "--yes")
        assert (status, out) == (0, "redriven: 1\n"), err
        await world.settled(5, worker)
        second = (await ls(world, people=["ill"]))[-1]
        assert (second["tries"], second["redriveOf"]) == (1, first["id"])
        assert second["source"] == first["source"], "where it was first read"

        await world.encharge.faults()
        status, out, err = await dlq(world, "redrive", "--reason", "rejected", "--dry-run")
        assert status == 0
        assert out.endswith(f"to redrive: 2, to {world.topic} (left out: 1 redriven before)\n")
        assert len(await world.bodies()) == 1, "nothing was sent"
        status, out, err = await dlq(world, "redrive", "--reason", "rejected", "--yes")
        assert (status, out) == (0, "redriven: 2 (left out: 1 redriven before)\n"), err
        await world.settled(7, worker)
        # Insisted on: known as what was delivered, and not sent again.
        status, out, err = await dlq(world, "redrive", "--person", "ill", "--again", "--yes")
        assert out == "redriven: 3\n"
        await world.settled(10, worker)
        metrics = await consumed(worker)
        assert_accounts_balance(metrics)
        assert metrics["streams_events_duplicate_total"] == 3
        assert [len(x["redrivenAt"]) for x in await ls(world, people=["ill"])] == [2, 2, 2]
        assert await ls(world, people=["ill"], is_redriven=False) == []

        sent = await world.bodies()
        named = f"kafka-{world.topic}-{places[1][0]}-{places[1][1]}"
        assert sorted(body["messageId"] for body in sent) == sorted(["m-1", "m-3", named])
    records = await consume(world.broker.bootstrap, world.topic, 10)
    again = [record for record in records if record.headers]
    assert {record.partition for record in again} == {places[0][0]}
    tries = [dict(record.headers)["dlq.redriven"] for record in again]
    assert sorted(tries) == [b"1", b"1", b"2", b"2", b"2", b"3"]


async def test_a_truncated_letter_and_a_lost_topic_are_told_and_counted(
    small_world: World,
) -> None:
    world = small_world
    topic = f"app-{world.topic}-dead-letters"
    await world.broker.create_topic(topic, 2)
    producer = BatchProducer(max_batch_bytes=900_000, bootstrap_servers=world.broker.bootstrap)
    await producer.start()
    try:
        for value, source, number in ((b"x" * 200_000, world.topic, 0), (b"{}", "lost", 7)):
            letter = DeadLetter(
                raw=value,
                origin=Origin(source, 0, number),
                stage="ingest",
                reason="too-large",
                text="t",
            )
            await DeadLetters(producer, topic).bury(letter.truncated())
    finally:
        await producer.stop()
    [truncated, lost] = [x["id"] for x in await ls(world)]
    status, out, err = await dlq(world, "redrive", "--yes")
    assert (status, out) == (1, "redriven: 0\n")
    assert [line for line in err.splitlines() if not line.startswith("{")] == [
        f"{truncated} cannot be redriven: truncated: only 100000 of 200000 bytes were kept",
        f"{lost} cannot be redriven: gone: there is no lost[0] any more",
        "streams: 2 dead letters cannot be redriven: 1 truncated, 1 gone",
    ]


async def test_what_is_no_dead_letter_topic_is_named(small_world: World) -> None:
    status, out, err = await dlq(small_world, "ls")
    assert (status, out) == (1, "")
    assert err.startswith(f"streams: STREAMS_DLQ_TOPIC=app-{small_world.topic}-dead-letters: ")
    assert err.count("\n") == 1


async def test_a_redriven_event_goes_to_whom_it_belonged_in_its_own_time(
    small_world: World,
) -> None:
    world = small_world
    await world.encharge.faults(
        *({"match": {"messageId": name}, "fault": {"status": 422}} for name in ("m-1", "m-2"))
    )
    worker = world.worker()
    async with workers(worker):
        await world.feed(
            event("identify", 1, anonymousId="d", userId="ann", traits={"email": "a@x.org"}),
            event("track", 2, anonymousId="d"),
            event("identify", 3, anonymousId="d", userId="bob", traits={"email": "b@x.org"}),
        )
        await world.settled(3, worker)
        await world.encharge.faults()
        status, _, err = await dlq(world, "redrive", "--person", "d", "--yes")
        assert status == 0, err
        await world.settled(5, worker)
        await world.feed(event("track", 4, anonymousId="d"))
        await world.settled(6, worker)
    users = {body["messageId"]: body["userId"] for body in await world.bodies()}
    assert users == {"m-1": "ann", "m-2": "ann", "m-3": "bob", "m-4": "bob"}


@pytest.mark.kafka
async def test_the_breaker_stops_the_worker_and_nothing_is_lost(kafka_world: World) -> None:
    world = kafka_world
    # All is well, until the destination refuses what we send.
    await world.encharge.faults({"fault": {"status": 422, "body": {"error": "unknown field"}}})
    settings = {
        "STREAMS_DLQ_BREAKER_EVENTS": "20",
        "STREAMS_DLQ_BREAKER_SHARE": "0.5",
        "STREAMS_MAX_CONCURRENCY": "8",
    }
    worker = world.worker(**settings)
    people = [f"a{n % 10}" for n in range(200)]
    async with workers(worker):
        await world.feed(
            *(event("track", n, anonymousId=who) for n, who in enumerate(people)), b"not json"
        )

        assert await worker.ended() == 1
        last = worker.log().strip().splitlines()[-1]
        assert last.startswith("streams: STREAMS_DLQ_BREAKER_SHARE=0.5: 20 of 20 events within")
        assert "20 of them as rejected" in last
        assert "unknown field" in last
        buried = await ls(world, reasons=["rejected"])
        assert len(buried) == 19, "the one that is too many is not buried"

        await world.encharge.faults()
        await worker.start()
        # Chunks of which everything was buried are committed: their events are in the letters.
        everything = {f"m-{n}" for n in range(200)}

        async def accounted_for() -> bool:
            sent = {body["messageId"] for body in await world.bodies()}
            return sent | await buried_ids(world) >= everything

        await until(accounted_for, "everything delivered or buried")
        assert await worker.stop() == 0
    arrived = [(body["messageId"], body["segmentAnonymousId"]) for body in await world.bodies()]
    assert len(arrived) >= 181
    for who in people:
        mine = [int(name[2:]) for name, owner in arrived if owner == who]
        assert mine == sorted({*mine}), "in order, and once"


async def buried_ids(world: World) -> set[str]:
    async with TopicReader(
        f"app-{world.topic}-dead-letters", bootstrap_servers=world.broker.bootstrap
    ) as reader:
        found = await Archive(reader).collect(Selection(reasons={"rejected"}), values=True)
    return {orjson.loads(letter.value or b"")["messageId"] for letter in found.in_order()}


async def test_what_producers_do_wrong_does_not_trip_the_breaker(small_world: World) -> None:
    world = small_world
    worker = world.worker(STREAMS_DLQ_BREAKER_EVENTS="5", STREAMS_DLQ_BREAKER_SHARE="0.1")
    async with workers(worker):
        await world.feed(*[b"{"] * 50, text({"type": "page"}), event("page", 1, userId="u"))
        await world.settled(52, worker)
        assert await worker.is_ready()
        assert await worker.stop() == 0
    assert len(await world.bodies()) == 1

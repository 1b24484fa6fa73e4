"""``streams replay``: logs -> topic -> worker -> Encharge."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.dev.broker import tied_to_parent
from streams.engine.lag import GroupLag
from tests.functional.conftest import World, event
from tests.support.kafka import Broker
from tests.support.traces import Trace, person, signups
from tests.support.world import consume, until, workers

pytestmark = pytest.mark.functional


class Command:
    """A ``streams replay`` process on a world's topic."""

    def __init__(self, broker: Broker, topic: str, directory: Path) -> None:
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("STREAMS_", "ENCHARGE_"))},
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "STREAMS_SOURCE_TOPIC": topic,
            "STREAMS_APP_ID": f"app-{topic}",
            "STREAMS_DATA_DIR": str(directory / "replay-data"),
        }

    async def start(self, *arguments: Any) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *tied_to_parent([sys.executable, "-m", "streams", "replay", "--json"]),
            *map(str, arguments),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: Any, status: int = 0) -> dict[str, Any]:
        return await self.report(await self.start(*arguments), status)

    @staticmethod
    async def report(process: asyncio.subprocess.Process, status: int) -> dict[str, Any]:
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == status, err.decode()
        report: dict[str, Any] = orjson.loads(out)
        assert report["read"] == report["produced"] + report["left"] + sum(
            report[name]["total"] for name in ("filtered", "broken", "skipped")
        )
        return report


def command(world: World) -> Command:
    return Command(world.broker, world.topic, world.directory)


def archive(directory: Path, trace: Trace) -> Path:
    """A trace as an archive has it: over several files, in no order."""
    shuffled = list(trace.events)
    random.Random(7).shuffle(shuffled)
    logs = directory / "logs" / "source" / "1793577600000"
    logs.mkdir(parents=True)
    half = len(shuffled) // 2
    (logs / "1.gz").write_bytes(gzip.compress(b"\n".join(map(orjson.dumps, shuffled[:half]))))
    (logs / "2.gz").write_bytes(b"\n".join(map(orjson.dumps, shuffled[half:])))
    return directory / "logs"


def in_time(count: int, people: int = 10) -> Trace:
    """Events of different moments."""
    trace = signups(people, count, seed=3)
    for number, made in enumerate(trace.events):
        made["timestamp"] = (
            f"2026-11-{1 + number // 3600:02}T00:{number // 60 % 60:02}:{number % 60:02}Z"
        )
    return trace


async def test_a_range_replayed_twice_is_sent_once_and_in_order(world: World) -> None:
    trace = in_time(300)
    logs = archive(world.directory, trace)
    worker = world.worker()
    async with workers(worker):
        first = await command(world).run(logs)
        await world.settled(300, worker)
        sent = await world.bodies()
        second = await command(world).run(logs)
        await world.settled(600, worker)
        assert await world.bodies() == sent
        forced = await command(world).run("--force", "--until", "2026-11-01T00:00:20Z", logs)
        await world.settled(620, worker)
        again = (await world.bodies())[len(sent) :]
    assert [report["produced"] for report in (first, second, forced)] == [300, 300, 20]
    assert forced["filtered"] == {"total": 280, "time": 280}
    assert len(again) == 20
    assert all(body["messageId"].startswith(f"replay-{forced['run']}-") for body in again)
    # Each person's calls, in the order in which it happened.
    sequence = {made["messageId"]: number for number, made in enumerate(trace.events)}
    owner = {made["messageId"]: person(made) for made in trace.events}
    told: dict[str, list[int]] = defaultdict(list)
    for body in sent:
        told[owner[body["messageId"]]].append(sequence[body["messageId"]])
    assert sum(map(len, told.values())) == 300
    assert all(numbers == sorted(numbers) for numbers in told.values())


async def test_replayed_events_are_as_they_were_but_marked(
    embedded: Broker, unique: str, tmp_path: Path
) -> None:
    await embedded.create_topic(unique, 4)
    trace = in_time(60)
    report = await Command(embedded, unique, tmp_path).run(archive(tmp_path, trace))
    records = await consume(embedded.bootstrap, unique, 60)
    assert {record.headers for record in records} == {(("streams.replay", report["run"].encode()),)}
    by_id = {made["messageId"]: made for made in trace.events}
    partitions: dict[str, set[int]] = defaultdict(set)
    for record in records:
        read = orjson.loads(record.value)
        assert read == by_id[read["messageId"]]
        assert record.key.decode() == person(read)
        # Not the event's time: the topic would let go of old ones at once.
        assert record.timestamp > 1_780_000_000_000
        partitions[person(read)].add(record.partition)
    assert all(len(found) == 1 for found in partitions.values())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_an_interrupted_replay_goes_on_and_every_event_is_there_once(
    broker: Broker, unique: str, tmp_path: Path, how: signal.Signals
) -> None:
    await broker.create_topic(unique, 4)
    trace = in_time(400)
    logs = archive(tmp_path, trace)
    replay = Command(broker, unique, tmp_path)
    process = await replay.start("--rate", "100", logs)
    await consume(broker.bootstrap, unique, 30)
    process.send_signal(how)
    first = await replay.report(process, 1)
    assert 30 <= first["produced"] < 400
    assert not first["isComplete"]
    second = await replay.run(logs)
    assert second["run"] == first["run"]
    assert second["skipped"] == {"total": first["produced"], "confirmed-before": first["produced"]}
    assert second["produced"] == 400 - first["produced"]
    records = await consume(broker.bootstrap, unique, 401, within=3)
    ids = [orjson.loads(record.value)["messageId"] for record in records]
    assert Counter(ids) == Counter(made["messageId"] for made in trace.events)
    # It is complete: the next one is another.
    assert (await replay.run("--until", "2026-11-01T00:00:05Z", logs))["produced"] == 5


async def test_a_replay_does_not_go_on_from_other_sources(
    embedded: Broker, unique: str, tmp_path: Path
) -> None:
    await embedded.create_topic(unique, 4)
    logs = archive(tmp_path, in_time(200))
    replay = Command(embedded, unique, tmp_path)
    process = await replay.start("--rate", "100", logs)
    await consume(embedded.bootstrap, unique, 20)
    # As a power cut would: what it had noted is less than what arrived, at most.
    process.kill()
    await process.wait()
    assert list((tmp_path / "replay-data" / "replay").glob("*.json"))
    (logs / "late.json").write_bytes(orjson.dumps(event("page", "late", userId="u")))
    failed = await replay.start(logs)
    _, err = await failed.communicate()
    assert failed.returncode == 2
    assert b"--restart begins anew" in err
    assert (await replay.run("--restart", logs))["produced"] == 201


@pytest.mark.kafka
async def test_live_traffic_goes_first(kafka_world: World) -> None:
    world = kafka_world
    worker = world.worker(STREAMS_MAX_CONCURRENCY="2")
    logs = archive(world.directory, in_time(400))
    app_id = f"app-{world.topic}"
    async with workers(worker):
        await world.feed(event("page", "first", userId="u"))
        await world.settled(1, worker)

        async def committed() -> bool:
            async with GroupLag(app_id, bootstrap_servers=world.broker.bootstrap) as lag:
                return (await lag.look(world.topic))[world.topic] == (1, 1)

        await until(committed, "the worker's offset is committed")
        await world.encharge.faults({"fault": {"slow": 0.02}})
        process = await command(world).start("--max-waiting", "50", logs)
        behind: list[int] = []
        while process.returncode is None:
            ends = len(await consume(world.broker.bootstrap, world.topic, 10**6, within=0.3))
            behind.append(ends - (await worker.metrics())["streams_events_consumed_total"])
        report = await Command.report(process, 0)
        await world.settled(401, worker)
    assert report["produced"] == 400
    # What was read a moment earlier may have been settled since, never the other way round.
    assert max(behind) <= 50

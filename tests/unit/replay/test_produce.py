"""Producing: confirmed counts, refusals, and live traffic first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from streams.engine.producer import Record
from streams.errors import BrokerError
from streams.replay.order import ExternalSort
from streams.replay.pace import Pace
from streams.replay.produce import LiveFirst, Open, Replay
from streams.source.ingest import partition_of

PARTITIONS = 3


class Producer:
    """Confirms at once, but for the partition that refuses."""

    def __init__(self, refuses: int | None = None) -> None:
        self.values: dict[int, list[bytes | None]] = {p: [] for p in range(PARTITIONS)}
        self._refuses = refuses

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> Awaitable[int]:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if partition == self._refuses:
            done.set_exception(BrokerError("refused"))
        else:
            self.values[partition] += [record.value for record in records]
            done.set_result(0)
        return done


def replay(producer: Producer, confirmed: list[int], **given: Any) -> Replay:
    fixed: dict[str, Any] = {
        "topic": "t",
        "headers": [],
        "pace": Pace(None, lambda: 0.0),
        "gate": Open(),
        "stop": asyncio.Event(),
        "save": lambda: None,
        "drain_seconds": 1.0,
    }
    return Replay(producer=producer, confirmed=confirmed, **{**fixed, **given})  # type: ignore[arg-type]


def ordered(people: int = 30) -> ExternalSort:
    order = ExternalSort()
    for number in range(people * 3):
        order.add([(number, b"u-%d" % (number % people), b"%d" % number)])
    return order


async def test_people_go_where_workers_will_look_for_them() -> None:
    producer, confirmed = Producer(), [0] * PARTITIONS
    assert await replay(producer, confirmed).run(ordered().blocks())
    assert confirmed == [len(values) for values in producer.values.values()]
    for partition, values in producer.values.items():
        numbers = [int(value or b"") for value in values]
        assert numbers == sorted(numbers)
        assert {partition_of(f"u-{n % 30}", PARTITIONS) for n in numbers} == {partition}


async def test_what_was_confirmed_is_not_produced_again() -> None:
    whole, rest = Producer(), Producer()
    await replay(whole, [0] * PARTITIONS).run(ordered().blocks())
    confirmed = [5, 0, 2]
    doing = replay(rest, confirmed)
    assert await doing.run(ordered().blocks())
    assert doing.produced == 90 - 7
    for partition, skipped in enumerate([5, 0, 2]):
        assert rest.values[partition] == whole.values[partition][skipped:]


async def test_what_is_refused_ends_it_and_what_was_confirmed_is_noted() -> None:
    saved: list[list[int]] = []
    producer, confirmed = Producer(refuses=1), [0] * PARTITIONS
    doing = replay(producer, confirmed, save=lambda: saved.append(list(confirmed)))
    with pytest.raises(BrokerError, match="refused"):
        await doing.run(ordered().blocks())
    assert saved[-1] == [len(producer.values[0]), 0, len(producer.values[2])]
    assert doing.produced == sum(saved[-1]) > 0


async def test_asked_to_stop_it_produces_nothing_more() -> None:
    stop = asyncio.Event()
    stop.set()
    producer = Producer()
    assert not await replay(producer, [0] * PARTITIONS, stop=stop).run(ordered().blocks())
    assert not any(producer.values.values())


class Lag:
    """Offsets as they are told."""

    def __init__(self, *answers: tuple[int, int] | BrokerError | None) -> None:
        self._answers = list(answers)

    async def look(self, *topics: str) -> dict[str, tuple[int, int] | None]:
        answer = self._answers.pop(0)
        if isinstance(answer, BrokerError):
            raise answer
        return {"source": answer, "stage": None}


def live_first(lag: Lag, told: list[int | None]) -> tuple[LiveFirst, list[float]]:
    clock = [0.0]
    gate = LiveFirst(
        lag,  # type: ignore[arg-type]
        source_topic="source",
        stage_topic="stage",
        max_waiting=100,
        on_wait=told.append,
        clock=lambda: clock[0],
    )
    return gate, clock


async def test_no_more_wait_than_allowed() -> None:
    told: list[int | None] = []
    gate, clock = live_first(Lag((40, 0), (100, 0), (100, 30)), told)
    assert await gate.admit(80, 0) == 60
    gate.passed(60)
    # Not before the next look.
    assert await gate.admit(80, 60) == 0
    clock[0] += 1
    assert await gate.admit(80, 0) == 0
    clock[0] += 1
    # 70 wait, and 10 more may not be there yet.
    assert await gate.admit(80, 10) == 20
    assert told == [None, 100, None]


async def test_where_no_worker_ever_read_nothing_holds_it() -> None:
    gate, _ = live_first(Lag(None), [])
    assert await gate.admit(8_000, 0) == 8_000


async def test_offsets_that_cannot_be_had_for_a_while_hold_it() -> None:
    gate, clock = live_first(Lag(BrokerError("away"), (10, 10)), [])
    assert await gate.admit(80, 0) == 0
    clock[0] += 1
    assert await gate.admit(80, 0) == 80

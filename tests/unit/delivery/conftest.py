"""A deliverer and what surrounds it, for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from streams.delivery import circuit, limit, retry
from streams.delivery.deliver import LaneDeliverer
from streams.delivery.limiter import RateLimiter
from streams.delivery.sender import Answer
from streams.telemetry.metrics import Metrics
from tests.support.fakes import (
    Failures,
    FakeDestination,
    FakeSender,
    FakeSettlement,
    answer,
    eventually,
)


class Gate:
    """An answer that comes when it is told to."""

    def __init__(self, status: int = 200) -> None:
        self.open = asyncio.Event()
        self.reached = False
        self.status = status

    async def __call__(self) -> Answer:
        self.reached = True
        await self.open.wait()
        return answer(self.status)


class Turnstile:
    """A rate limiter that lets calls through when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0

    async def wait(self) -> None:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1


class World:
    def __init__(
        self,
        *,
        concurrency: int = 8,
        retry_max_seconds: float = 3600,
        bulk_size: int = 0,
        circuit_failures: int = 1000,
        limiter: Any = None,
        destination: Any = None,
        sender: Any = None,
    ) -> None:
        self.may_call = True
        self.sender = sender or FakeSender()
        self.settlement = FakeSettlement()
        self.failures = Failures()
        self.metrics = Metrics()
        self.told: list[str | None] = []
        self.deliverer = LaneDeliverer(
            destination=destination or FakeDestination(),
            sender=self.sender,
            settlement=self.settlement,  # type: ignore[arg-type]
            limiter=limiter or RateLimiter(None, self.metrics),
            metrics=self.metrics,
            tasks=self.failures.tasks(),
            concurrency=concurrency,
            bulk_size=bulk_size,
            retry_max_seconds=retry_max_seconds,
            circuit_failures=circuit_failures,
            may_call=lambda: self.may_call,
            on_misconfigured=self.told.append,
        )

    def take(self, *events: Any) -> None:
        self.deliverer.take(events)

    async def settled(self, count: int) -> list[tuple[str, str]]:
        await eventually(lambda: len(self.settlement.outcomes) >= count or self.failures)
        assert self.failures == []
        return self.settlement.outcomes

    def idle(self) -> bool:
        return not self.deliverer._lanes


MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeWorld]:
    monkeypatch.setattr(retry, "delay", lambda *_: 0.001)
    monkeypatch.setattr(circuit, "BASE_SECONDS", 0.005)
    monkeypatch.setattr(circuit, "CAP_SECONDS", 0.005)
    monkeypatch.setattr(limit, "REST_SECONDS", 0.001)
    monkeypatch.setattr(limit, "MAX_REST_SECONDS", 0.001)
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(**options))
        return made[-1]

    yield make
    for world in made:
        await world.deliverer.close()
        assert getattr(world.sender, "closed", True)
        assert world.failures == []


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return make_world()

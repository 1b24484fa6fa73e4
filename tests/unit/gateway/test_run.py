"""What the gateway's process does besides answering."""

from __future__ import annotations

import asyncio

import pytest

from streams.errors import BrokerError
from streams.gateway import run
from tests.support.fakes import eventually


class Away:
    """A producer whose broker says how many partitions there are, goes away, and is back."""

    def __init__(self) -> None:
        self.answers: list[int | BrokerError] = [4, BrokerError("away"), 8]

    async def partitions(self, topic: str) -> int:
        answer = self.answers.pop(0) if self.answers else 8
        if isinstance(answer, BrokerError):
            raise answer
        return answer


async def test_partitions_are_counted_again_after_a_broker_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "PARTITIONS_SECONDS", 0)
    counts = {"events": 1}
    seen: list[int] = []
    counting = asyncio.ensure_future(run._count_partitions(Away(), counts))  # type: ignore[arg-type]

    def look() -> bool:
        seen.append(counts["events"])
        return counts["events"] == 8

    await eventually(look)
    counting.cancel()
    assert set(seen) <= {1, 4, 8}

"""A destination is away when nothing but failures has come back for a while."""

from __future__ import annotations

import pytest

from streams.delivery.reach import AWAY_SECONDS, Reach, WatchedSender
from tests.support.fakes import FakeSender, answer, request


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("status", [0, 500, 503])
def test_nothing_but_failures_for_a_while_is_away(status: int) -> None:
    clock = Clock()
    reach = Reach(clock)
    reach.saw(answer(status))
    assert reach.away_because() is None
    clock.now += AWAY_SECONDS
    assert reach.away_because() == (
        f"every call has failed for 10 s, the last one with "
        f"{f'status {status}' if status else 'no answer'}"
    )


@pytest.mark.parametrize("status", [200, 401, 422, 429])
def test_any_answer_to_us_ends_it(status: int) -> None:
    clock = Clock()
    reach = Reach(clock)
    reach.saw(answer(0))
    clock.now += AWAY_SECONDS
    reach.saw(answer(status))
    assert reach.away_because() is None
    reach.saw(answer(500))
    clock.now += AWAY_SECONDS - 1
    assert reach.away_because() is None, "counted from the first failure after it"


async def test_the_sender_tells_what_its_calls_come_to() -> None:
    clock = Clock()
    reach = Reach(clock)
    inner = FakeSender({"a": [answer(503)]})
    sender = WatchedSender(inner, reach)
    assert (await sender.send(request("a"))).status == 503
    clock.now += AWAY_SECONDS
    assert reach.away_because()
    assert (await sender.send(request("a"))).status == 200
    assert reach.away_because() is None
    await sender.close()
    assert inner.closed

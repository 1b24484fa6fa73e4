"""Reading a changelog from outside: what goes wrong is told, never an answer cut short."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from streams.engine.changelog import Changelog
from streams.errors import BrokerError


class Silent:
    """A client of a broker that has two records and gives none."""

    error: Exception | None = None

    def assign(self, tps: list[Any]) -> None:
        pass

    def seek(self, tp: Any, offset: int) -> None:
        pass

    async def beginning_offsets(self, tps: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(tps, 5)

    async def end_offsets(self, tps: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(tps, 7)

    async def position(self, tp: Any) -> int:
        return 5

    async def getmany(self, *tps: Any, timeout_ms: int) -> dict[Any, list[Any]]:
        if self.error is not None:
            raise self.error
        return {}


def changelog(client: Silent) -> Changelog:
    made = Changelog("app-identities-changelog", silence_seconds=0)
    made._consumer = client
    return made


async def test_a_broker_that_falls_silent_before_the_end_is_an_error() -> None:
    with pytest.raises(BrokerError, match=r"changelog\[2\] gives nothing after offset 5, .* at 7"):
        await changelog(Silent()).read([2, 3], lambda *_: None)


async def test_what_the_broker_refuses_is_told() -> None:
    client = Silent()
    client.error = TopicAuthorizationFailedError("app-identities-changelog")
    with pytest.raises(BrokerError, match="TopicAuthorizationFailed"):
        await changelog(client).read([0], lambda *_: None)


async def test_the_client_s_own_word_on_why_it_cannot_connect_is_passed_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unreachable = Changelog("t", bootstrap_servers="127.0.0.1:1")
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1.*Connect call failed") as caught:
        await unreachable.__aenter__()
    assert isinstance(caught.value.__cause__, KafkaConnectionError)
    assert caplog.records == [], "and not logged besides"

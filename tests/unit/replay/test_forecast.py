"""What a replay would come to."""

from __future__ import annotations

from typing import Any

import orjson

from streams.destinations.encharge import Encharge
from streams.destinations.usercom import UserCom
from streams.replay.forecast import Forecast


def take(forecast: Forecast, **event: Any) -> None:
    forecast.take([(0, b"", orjson.dumps({"userId": "u-1", **event}))])


def test_calls_are_counted_by_action() -> None:
    forecast = Forecast([Encharge(api_key="k")])
    take(forecast, type="track", event="Paid")
    take(forecast, type="page")
    take(forecast, type="page", integrations={"All": False})
    take(forecast, type="screen")
    take(forecast, type="alias")
    take(forecast, type="delete")
    data = forecast.as_object(rate=2.0)
    assert data == {
        "events": 6,
        "calls": {"total": 3, "track": 1, "page": 1, "delete": 1},
        "withoutCalls": {"total": 3, "integrations": 1, "no-subscription": 1, "invalid": 1},
        "seconds": 3.0,
    }


def test_a_conversation_counts_as_the_calls_that_it_usually_takes() -> None:
    forecast = Forecast([UserCom(api_key="k", api_url="https://subdomain.user.com")])
    take(forecast, type="page", properties={"url": "https://example.com"})
    assert forecast.calls == {"page": 3}

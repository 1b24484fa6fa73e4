"""A worker says why it moves no events."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from streams.web.server import Health, Reason


def well() -> Health:
    health = Health()
    health.watch([app()])
    return health


def app(**state: bool) -> SimpleNamespace:
    recovered = state.pop("recovered", True)
    return SimpleNamespace(
        **{"started": True, "rebalancing": False, "crashed": False, **state},
        tables=SimpleNamespace(actives_ready=recovered),
    )


def test_a_worker_that_moves_events_is_ready_and_alive() -> None:
    assert well().not_ready() == {}
    assert well().is_alive()


CAUSES: dict[Reason, Callable[[Health], None]] = {
    Reason.STARTING: lambda health: health.watch([app(), app(started=False)]),
    Reason.STOPPING: lambda health: health.stopping(),
    Reason.KAFKA_JOINING: lambda health: health.watch([app(), app(recovered=False)]),
    Reason.KAFKA_AWAY: lambda health: health.broker_away("no broker answers"),
    Reason.DESTINATION_AWAY: lambda health: health.watch_destinations([lambda: "every call fails"]),
    Reason.CONFIGURATION: lambda health: health.destination_refuses("encharge", "status 401"),
    Reason.BREAKER: lambda health: health.breaker_tripped("STREAMS_DLQ_BREAKER_SHARE=0.5: ..."),
}


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_is_told_apart_and_calls_for_no_restart(reason: Reason) -> None:
    health = well()
    CAUSES[reason](health)
    assert list(health.not_ready()) == [reason]
    [line] = health.not_ready_because()
    assert line.startswith(f"{reason}: ")
    assert health.is_alive()


def test_a_destination_that_refuses_us_is_not_called_away() -> None:
    health = well()
    health.watch_destinations([lambda: "every call fails"])
    health.destination_refuses("encharge", "status 401")
    assert list(health.not_ready()) == [Reason.CONFIGURATION]
    health.destination_refuses("encharge", None)
    assert list(health.not_ready()) == [Reason.DESTINATION_AWAY]


def test_one_of_several_destinations_that_is_away_holds_up_nobody() -> None:
    health = well()
    health.watch_destinations([lambda: "every call fails", lambda: None])
    assert health.not_ready() == {}


def test_a_broker_that_is_back_is_away_no_more() -> None:
    health = well()
    health.broker_away("no broker answers")
    health.broker_away(None)
    assert health.not_ready() == {}


def test_only_a_crash_calls_for_a_restart() -> None:
    health = Health()
    assert health.is_alive(), "before it has begun"
    health.watch([app(), app(crashed=True)])
    assert not health.is_alive()

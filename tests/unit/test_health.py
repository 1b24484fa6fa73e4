"""A worker says why it moves no events."""

from __future__ import annotations

from types import SimpleNamespace

from streams.web.server import Health


def test_a_tripped_breaker_turns_readiness_off_with_the_reason() -> None:
    health = Health()
    health.watch(
        [
            SimpleNamespace(
                started=True,
                rebalancing=False,
                crashed=False,
                tables=SimpleNamespace(actives_ready=True),
            )
        ]
    )
    assert health.not_ready_because() == []
    health.breaker_tripped("STREAMS_DLQ_BREAKER_SHARE=0.5: ...")
    assert health.not_ready_because() == ["breaker: STREAMS_DLQ_BREAKER_SHARE=0.5: ..."]
    assert health.is_alive()

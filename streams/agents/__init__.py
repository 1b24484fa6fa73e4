"""The Faust agents: one for each stage, one for each per-action stream. All are thin.

What they do is in the objects they are given; what they add is Faust's: which topic or
channel, one event at a time, restarted never (an agent that fails stops the worker, whose
uncommitted events are read again).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from streams.engine.app import ChunkApp
from streams.engine.chunks import ChunkTopic, LocalChannel
from streams.errors import EventError
from streams.routing.publish import Publisher
from streams.routing.resolve import Resolve
from streams.routing.resolved import ResolvedReader
from streams.routing.route import Route, Share
from streams.source.ingest import Ingest

log = structlog.get_logger(__name__)


def declare_ingest(app: ChunkApp, topic: ChunkTopic, stage: Ingest) -> None:
    """Source topic -> person-keyed stage topic."""

    @app.agent(topic, name="ingest")  # type: ignore[untyped-decorator]
    async def ingest(stream: Any) -> None:
        async for event in stream.noack().events():
            await stage.take(event.value)


def declare_resolve(app: ChunkApp, topic: ChunkTopic, stage: Resolve) -> None:
    """Person-keyed stage topic -> per-action streams, or the topic of resolved events."""

    @app.agent(topic, name="resolve")  # type: ignore[untyped-decorator]
    async def resolve(stream: Any) -> None:
        async for event in stream.noack().events():
            await stage.take(event.value)


def declare_resolved(app: ChunkApp, topic: ChunkTopic, stage: ResolvedReader) -> None:
    """Topic of resolved events -> one destination's per-action streams."""

    @app.agent(topic, name="resolved")  # type: ignore[untyped-decorator]
    async def resolved(stream: Any) -> None:
        async for event in stream.noack().events():
            await stage.take(event.value)


def declare_actions(
    app: ChunkApp,
    channels: Mapping[str, LocalChannel],
    stage: Route,
    publisher: Publisher | None,
) -> None:
    """Per-action streams -> windows: an agent for each action, mapping events to requests."""
    for action, channel in channels.items():
        _declare_action(app, action, channel, stage, publisher)


def _declare_action(
    app: ChunkApp,
    action: str,
    channel: LocalChannel,
    stage: Route,
    publisher: Publisher | None,
) -> None:
    @app.agent(channel, name=action)  # type: ignore[untyped-decorator]
    async def map_events(stream: Any) -> None:
        async for share in stream:
            map_share(share)
            if publisher is not None:
                await publisher.publish(action, share)
            stage.mapped(share)


def map_share(share: Share) -> None:
    """Build the requests of a share. What cannot be built is noted on its event."""
    for event, place, build in share.events:
        try:
            event.requests[place] = build(event.event)
        except EventError as error:
            event.error = event.error or error
        except Exception as error:
            log.exception("mapping failed", origin=str(event.origin), action=event.action)
            event.error = EventError("internal-error", f"{type(error).__name__}: {error}")


def channels_for(app: ChunkApp, actions: Iterable[str]) -> dict[str, LocalChannel]:
    """A named in-memory channel for each per-action stream."""
    return {action: LocalChannel(app) for action in actions}
